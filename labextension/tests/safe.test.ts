import { describe, expect, it } from 'vitest';

import { LONGEST, rebuild } from '../src/answers/safe';

function html(source: string): string {
  const place = document.createElement('div');
  place.append(rebuild(source)?.content ?? 'nothing');
  // eslint-disable-next-line no-restricted-properties -- read, not written
  return place.innerHTML;
}

it.each([
  '<p><strong>Hi</strong> <em>you</em> <s>x</s></p>',
  '<ol start="3"><li>a</li></ol><ul><li>b</li></ul><hr><blockquote><p>c<br>d</p></blockquote>',
  '<h2>H</h2><pre class="llm-magic-code"><code class="language-python"><span class="k">def</span></code></pre>',
  '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>',
  '<a href="https://example.org/a?b#c" rel="noopener noreferrer nofollow" target="_blank">x</a>',
  '<div class="llm-magic-markdown tex2jax_ignore mathjax_ignore"><p>$5</p></div>',
  '<span class="tex2jax_process mathjax_process">$x &lt; y$</span>',
  '<details class="llm-magic-aside" open=""><summary>t</summary><pre>x</pre></details>'
])('keeps what our kernel makes: %s', source => {
  expect(html(source)).toBe(source);
});

it.each([
  ['<td style="text-align:right">1</td>', '<td class="jp-LlmMagic-right">1</td>'],
  ['<td style="text-align:right;background:url(//evil.test)">1</td>', '<td>1</td>']
])('keeps of styles the side of a column: %s', (cell, kept) => {
  expect(html(`<table><tbody><tr>${cell}</tr></tbody></table>`)).toContain(`<tr>${kept}</tr>`);
});

it('keeps the tabs of several choices together, under a name of its own', () => {
  const tab = '<details name="llm-magic-abc"><summary>choice</summary>x</details>';

  const [first, second] = [html(tab + tab), html(tab)].map(shown =>
    [...shown.matchAll(/name="(.*?)"/g)].map(([, name]) => name)
  );

  expect(first[0]).toBe(first[1]);
  expect(second[0]).not.toBe(first[0]);
});

it('takes the footer out, line by line', () => {
  const rebuilt = rebuild('<p>x</p><div class="llm-magic-footer">a &lt;b&gt;<br>note: c</div>');

  expect(rebuilt?.footer).toEqual(['a <b>', 'note: c']);
  expect(rebuilt?.content.textContent).toBe('x');
});

describe('hostile HTML', () => {
  const ALIVE = 'script, style, img, svg, math, iframe, object, embed, form, input, button, video';

  it.each([
    '<script>pwned()</script>',
    '<img src=x onerror=pwned()>',
    '<img srcset="//evil.test/a.png 2x">',
    '<svg onload=pwned()><a href="javascript:pwned()">x</a></svg>',
    '<svg><style><img src=x onerror=pwned()></style></svg>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=pwned()&gt;">',
    '<form><math><mtext></form><form><mglyph><style></math><img src onerror=pwned()>',
    '<noscript><p title="</noscript><img src=x onerror=pwned()>">',
    '<template><img src=x onerror=pwned()></template>',
    '<template shadowrootmode=open><script>pwned()</script></template>',
    '<style>@import url(//evil.test)</style>',
    '<!--><img src=x onerror=pwned()>-->',
    '<xmp><p title="</xmp><img src=x onerror=pwned()>">',
    '<textarea><p title="</textarea><img src=x onerror=pwned()>">',
    '<title></title></head><body onload=pwned()>',
    '<a href="javascript:pwned()">x</a>',
    '<a href="JAVA\tSCRIPT:pwned()">x</a>',
    '<a href="\u0001javascript:pwned()">x</a>',
    '<a href=" java\nscript:pwned()">x</a>',
    '<a href="data:text/html,<script>pwned()</script>">x</a>',
    '<a href="//evil.test">x</a>',
    '<a href="vbscript:x" xlink:href="javascript:pwned()" ping="//evil.test">x</a>',
    '<form action=//evil.test><button formaction="javascript:pwned()">x</button></form>',
    '<form><form><input autofocus onfocus=pwned()></form></form>',
    '<p onclick=pwned() id=jupyterapp style="position:fixed" class="jp-Dialog" data-commandlinker-command=x>y</p>',
    '<iframe srcdoc="<script>parent.pwned()</script>"></iframe>',
    '<details ontoggle=pwned() open name=x><summary tabindex=1>x</summary></details>',
    '<link rel=stylesheet href=//evil.test><base href=//evil.test><meta http-equiv=refresh>'
  ])('has nothing left that lives: %s', source => {
    const shown = rebuild(`before ${source}`)?.content;

    const place = document.createElement('div');
    place.append(shown ?? '');
    const attributes = [...place.querySelectorAll('*')].flatMap(node =>
      [...node.attributes].filter(
        ({ name, value }) =>
          !(name === 'class' && value === '') &&
          !(name === 'open' || (name === 'name' && value.startsWith('jp-LlmMagic-')))
      )
    );
    expect(place.textContent).toContain('before');
    expect(place.querySelector(ALIVE)).toBeNull();
    expect(attributes.map(({ name, value }) => `${name}=${value}`)).toEqual([]);
  });

  it.each([
    '\\href{javascript:pwned()}{x}',
    '\\style{background:url(//evil.test)}{x}',
    '\\require{html}',
    '\\def\\frac{x}'
  ])('has no formula that does things: %s', formula => {
    const source = `<span class="tex2jax_process mathjax_process">$${formula}$</span>`;

    expect(html(source)).toBe(`<span>$${formula}$</span>`);
  });

  it('is shown as text where it is nested too deeply', () => {
    const shown = rebuild('<div>'.repeat(400) + 'x')?.content;

    expect(shown?.textContent).toBe('x');
    expect(shown?.querySelectorAll('div').length).toBeLessThan(250);
  });

  it('is not looked at where it is too long', () => {
    expect(rebuild('x'.repeat(LONGEST + 1))).toBeNull();
  });
});
