import { expect, it } from 'vitest';

import { footer, plainly } from '../src/answers/footer';
import { provenance, replayed } from './answerfakes';
import { trans } from './panelfakes';

it.each([
  ['openai/gpt-5-mini · 1,204 + 380 tokens · $0.001061 · live 1.8 s', {}],
  ['openai/gpt-5-mini · 1,204 + 380 tokens · $0.00 · replayed from 2026-11-20', replayed],
  ['openai · ? tokens · $? · live', { model: null, tokens: null, cost: null, latency_ms: null }],
  [
    '? tokens · $? · replayed',
    { model: null, provider: null, tokens: null, cost: null, source: 'replay', recorded: 'x' }
  ]
])('says %s', (line, changes) => {
  expect(footer(provenance(changes), trans, 2)).toBe(line);
});

it.each([
  ['a\n b', 'a b'],
  ['abc \u202e)(denwp', 'abc <U+202E>)(denwp'],
  ['\u001b[2J\u0000', '<U+001B>[2J<U+0000>']
])('hides nothing of %j', (text, shown) => {
  expect(plainly(text)).toBe(shown);
});
