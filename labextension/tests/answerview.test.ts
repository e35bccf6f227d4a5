import { expect, it, vi } from 'vitest';

import { answerText, answerView } from '../src/answers/answerview';
import type { AnswerTools } from '../src/answers/answerview';
import { MIME_TYPE } from '../src/answers/provenance';
import { provenance } from './answerfakes';
import { trans } from './panelfakes';

const DETAIL = {
  request: { messages: [{ role: 'user', content: '<b>Hi</b>' }] },
  response: { id: 'x' },
  recorded: '2026-11-20T12:00:00+00:00',
  latency_ms: 1,
  cell_line: null
};
const HTML =
  '<div class="llm-magic-answer"><p>Yes</p><pre class="llm-magic-code"><code>x = 1</code></pre>' +
  '<details class="llm-magic-aside"><summary>reasoning</summary><pre>They want.</pre></details>' +
  '<div class="llm-magic-footer">the footer<br>note: shortened</div></div>';
const PLAIN = 'Yes\n\n```\nx = 1\n```\n\nreasoning:\nThey want.\n\nthe footer\nnote: shortened';

function tools(changes: Partial<AnswerTools> = {}): AnswerTools {
  return { trans, decimals: 2, detail: () => Promise.resolve(DETAIL), copy: vi.fn(), ...changes };
}

function show(changes: object = {}, used = tools()): HTMLElement {
  const data = { 'text/plain': PLAIN, 'text/html': HTML, [MIME_TYPE]: provenance(), ...changes };
  return answerView(data, used);
}

function press(view: Element, title: string): void {
  view.querySelector<HTMLElement>(`[aria-label="${title}"]`)?.click();
}

async function unfold(view: Element): Promise<Element> {
  const unfolded = view.querySelector<HTMLDetailsElement>('.jp-LlmMagic-recording');
  if (!unfolded) {
    throw new Error('there is nothing to unfold');
  }
  unfolded.open = true;
  unfolded.dispatchEvent(new Event('toggle'));
  await Promise.resolve();
  await Promise.resolve();
  return unfolded;
}

it('shows the answer, one line about it, and its notes', () => {
  const view = show();

  expect(view.querySelector('p')?.textContent).toBe('Yes');
  expect(view.querySelector('.jp-LlmMagic-unfolded > summary')?.textContent).toBe(
    'openai/gpt-5-mini · 1,204 + 380 tokens · $0.001061 · live 1.8 s'
  );
  expect(view.textContent).toContain('note: shortened');
  expect(view.textContent).not.toContain('the footer');
});

it.each([
  ['Copy answer', 'Yes\n\n```\nx = 1\n```'],
  ['Copy code', 'x = 1'],
  ['Copy key', 'ab'.repeat(32)]
])('has a button: %s', (title, text) => {
  const used = tools();

  press(show({}, used), title);

  expect(used.copy).toHaveBeenCalledExactlyOnceWith(text);
});

it('tells every attempt, in order', () => {
  const attempts = [
    { model: 'openai/gpt-5', error: 'rate limit <b>', latency_ms: 20 },
    { model: 'openai/gpt-5-mini', error: null, latency_ms: 1800 }
  ];

  const view = show({ [MIME_TYPE]: provenance({ attempts }) });

  expect([...view.querySelectorAll('ol > li')].map(line => line.textContent)).toEqual([
    'openai/gpt-5 · 20 ms · rate limit <b>',
    'openai/gpt-5-mini · 1.8 s · answered'
  ]);
});

it('asks the kernel for the recording when it is unfolded, once', async () => {
  const detail = vi.fn(() => Promise.resolve(DETAIL));
  const used = tools({ detail });
  const view = show({}, used);
  expect(detail).not.toHaveBeenCalled();

  const unfolded = await unfold(view);
  await unfold(view);

  expect(detail).toHaveBeenCalledExactlyOnceWith('ab'.repeat(32), 0);
  expect(unfolded.textContent).toContain('"content": "<b>Hi</b>"');
  press(view, 'Copy request');
  expect(used.copy).toHaveBeenCalledWith(JSON.stringify(DETAIL.request, null, 2));
});

it('says why there is no recording, and asks again the next time', async () => {
  const detail = vi.fn(() => Promise.reject(new Error('no such recording')));
  const view = show({}, tools({ detail }));

  const unfolded = await unfold(view);
  expect(unfolded.textContent).toContain('no such recording');
  await unfold(view);

  expect(detail).toHaveBeenCalledTimes(2);
});

it.each([
  ['nothing at all', {}],
  ['text as provenance', { 'text/plain': 'Yes', [MIME_TYPE]: 'x' }],
  ['a list as provenance', { 'text/plain': ['Yes'], 'text/html': 7, [MIME_TYPE]: [[]] }],
  ['a footer only', { 'text/html': '<div class="llm-magic-footer">the footer</div>' }],
  ['very long HTML', { 'text/plain': 'Yes', 'text/html': '<b>'.repeat(1e6) }]
])('shows something plain of %s', (_, data) => {
  const view = answerView(data, tools());

  expect(view.textContent).toMatch(/Yes|the footer|nothing is known/);
});

it.each([
  ['Yes\n\nfooter\nnote: x', ['footer', 'note: x'], [], 'Yes'],
  ['Yes', [], [], 'Yes'],
  ['reasoning:\nWhy\n\nfooter', ['footer'], [['reasoning', 'Why']], 'reasoning:\nWhy\n\nfooter'],
  ['Yes\n\nanother', ['footer'], [], 'Yes\n\nanother']
] as [string, string[], [string, string][], string][])(
  'finds the answer in %j',
  (plain, remarks, beside, answer) => {
    expect(answerText(plain, remarks, beside)).toBe(answer);
  }
);

it('has only what is marked as a formula typeset, whatever stands around it', () => {
  const html = '<p>$\\href{https://evil.example}{x}$ <span class="tex2jax_process">$y$</span></p>';

  const view = show({ 'text/html': html });

  expect(view.classList).toContain('mathjax_ignore');
  expect([...view.querySelectorAll('.mathjax_process')].map(part => part.textContent)).toEqual([
    '$y$'
  ]);
});

it('shows the beginning of a recording that has megabytes, and copies all of it', async () => {
  const huge = { text: 'x'.repeat(5_000_000) };
  const detail = () => Promise.resolve({ ...DETAIL, request: huge });
  const used = tools({ detail });
  const view = show({}, used);

  const unfolded = await unfold(view);
  press(view, 'Copy request');

  expect(unfolded.textContent.length).toBeLessThan(300_000);
  expect(used.copy).toHaveBeenCalledWith(JSON.stringify(huge, null, 2));
});
