import { parser as markdown } from '@lezer/markdown';
import { parser as python } from '@lezer/python';
import { describe, expect, it } from 'vitest';

import { isPrompt, placeholders } from '../src/prompts/placeholders';
import { judgeWith, promptLanguage } from '../src/prompts/promptlanguage';

function marked(body: string, options = ''): string[] {
  const source = `%%complete${options}\n${body}`;
  return placeholders(source, judgeWith(python)).map(({ from, to }) => source.slice(from, to));
}

it.each([
  ['%%complete', true],
  ['%%complete -m openai/gpt-5\nHi', true],
  ['\n  \n%%complete\nHi', true],
  ['%%completely', false],
  ['%complete Hi', false],
  ['x = 1\n%%complete', false],
  ['', false]
])('%j is a prompt: %s', (source, answer) => {
  expect(isPrompt(source)).toBe(answer);
});

// By the rule of llm_magic/templates.py.
describe('marks what a run replaces', () => {
  it.each([
    ['Summarise {{ text }}.', ['{{ text }}']],
    ['{{ a.b(c)[0] }} and {{x+1}}', ['{{ a.b(c)[0] }}', '{{x+1}}']],
    ["{{ d['}}'] }}", ["{{ d['}}'] }}"]],
    ['{{ {"a": {"b": x}} }}', ['{{ {"a": {"b": x}} }}']],
    ['{{ f"{x}" }}', ['{{ f"{x}" }}']],
    ['{{ [n for n in rows\n if n] }}', ['{{ [n for n in rows\n if n] }}']],
    ['\\{{ x }} {{ y }}', ['{{ y }}']],
    ['x^{{2}} {{ "text" }} {{ (1, -2) }} {{ None }}', []],
    ['{{#if x}} {{/if}} {{ .Values.x }} {{ a b }} {{ x = 1 }} {{}}', []],
    ['{"n": {"m": 1}} and {{ open', []],
    ['{{ it is {{ x }}', ['{{ x }}']]
  ])('%j', (body, found) => {
    expect(marked(body)).toEqual(found);
  });
});

it('marks nothing where the cell says --raw, and nothing in its first line', () => {
  expect(marked('{{ x }}', ' -m a --raw')).toEqual([]);
  expect(marked('{{ x }}', ' --system {{y}}')).toEqual(['{{ x }}']);
});

it('parses all but the first line as Markdown', () => {
  const source = '%%complete -m *a*\n---\n# Title\n*now*';
  const names: string[] = [];

  promptLanguage(markdown)
    .parser.parse(source)
    .iterate({ enter: ({ name, from }) => void names.push(`${name} ${from}`) });

  expect(names).toContain('Options 0');
  expect(names).toContain('ATXHeading1 22');
  expect(names).toContain('Emphasis 30');
  expect(names.filter(name => /Setext|Emphasis 1/.test(name))).toEqual([]);
});

it.each(["{{'", "{{'''x", '{{"a"', '{{#', "{{ '", '{{ a ', '{{ a {{ b }} c }}'])(
  'reads a cell full of %j a few times over, not once for each opening',
  unit => {
    const source = `%%complete\n${unit.repeat(Math.floor(49_900 / unit.length))}`;
    let read = 0;
    const judge = (text: string) => {
      read += text.length;
      return 'neither' as const;
    };
    const before = performance.now();

    placeholders(source, judge);

    expect(read).toBeLessThan(200_000);
    // It took seconds.
    expect(performance.now() - before).toBeLessThan(300);
  }
);

it('marks each of a hundred expressions in a long text', () => {
  expect(marked(`{{ x }}${' and words'.repeat(40)}`.repeat(100))).toHaveLength(100);
});

it('marks nothing in a cell that is too long to be looked at with each key', () => {
  expect(marked('{{ x }} '.repeat(100_000))).toEqual([]);
});
