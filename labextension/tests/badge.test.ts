import { expect, it } from 'vitest';

import { badge, tellsMisuse } from '../src/answers/badge';
import { crc32 } from '../src/answers/crc32';
import { readProvenance } from '../src/answers/provenance';
import { provenance, replayed } from './answerfakes';
import { trans } from './panelfakes';

const SOURCE = '%%complete\nHi';

function textOf(answers: object[], { failed = false, source = SOURCE } = {}): string | undefined {
  const found = { answers: answers.map(provenance), failed };
  return badge(found, source, trans, 2)?.text;
}

it.each([
  ['live · $0.001061 · gpt-5-mini', [{}]],
  ['replayed · saved $0.001061 · gpt-5-mini', [replayed]],
  ['live · $? · gpt-5-mini', [{ cost: null }]],
  ['live · 3 answers · $0.003183 · gpt-5-mini', [{}, {}, {}]],
  ['live · 2 answers · $0.001061 + $? · gpt-5-mini', [{}, { cost: null }]],
  ['live · 2 answers · $0.001061 · saved $0.001061 · gpt-5-mini', [{}, replayed]],
  ['live · 3 answers · $0.003183 · a, b, …', [{ model: 'x/a' }, { model: 'x/b' }, { model: 'c' }]],
  ['live · $0.001061', [{ model: null, provider: null }]]
])('says %s', (text, answers) => {
  expect(textOf(answers)).toBe(text);
});

it.each([
  ['no answers', undefined, {}],
  ['a failed prompt', 'failed', { failed: true }],
  ['a failed cell that is no prompt', undefined, { failed: true, source: 'x = 1' }],
  ['a cell that only looks like one', undefined, { failed: true, source: '%%completely' }]
])('says of a cell with %s: %s', (_, text, options) => {
  expect(textOf([], options)).toBe(text);
});

it.each([null, 'text', 42, [], {}, { source: 'elsewhere' }])(
  'says nothing of an answer that tells %j of where it came from',
  written => {
    const found = { answers: [readProvenance(written)], failed: false };

    expect(badge(found, SOURCE, trans, 2)).toBeNull();
  }
);

it.each([
  [true, { name: 'stderr', text: 'UsageError: unrecognized arguments: --nosuch\n' }],
  [true, { name: 'stderr', text: ['a warning\n', 'UsageError: no\n'] }],
  [false, { name: 'stdout', text: 'UsageError: no\n' }],
  [false, { name: 'stderr', text: 'it is no UsageError: fine\n' }],
  [false, { name: 'stderr', text: 7 }]
])('knows by what IPython prints whether a magic was misused: %s, %j', (misused, stream) => {
  expect(tellsMisuse(stream)).toBe(misused);
});

it('counts the answers of which it knows where they came from', () => {
  expect(textOf([{ source: 'elsewhere' }, {}])).toBe('live · $0.001061 · gpt-5-mini');
});

it.each([
  ['replayed', SOURCE],
  ['stale', `${SOURCE}!`]
])('is %s where the source is %j', (kind, source) => {
  const answers = [provenance({ ...replayed, prompt_crc32: crc32(SOURCE) })];

  const found = badge({ answers, failed: false }, source, trans, 2);

  expect(found?.kind).toBe(kind);
});

it('tells each answer in its details', () => {
  const answers = [provenance(), provenance(replayed)];

  const found = badge({ answers, failed: false }, SOURCE, trans, 2);

  expect(found?.details.split('\n')).toEqual([
    'asked live',
    'openai/gpt-5-mini · 1,204 + 380 tokens · $0.001061 · live · recorded on 2026-11-20',
    'openai/gpt-5-mini · 1,204 + 380 tokens · saved $0.001061 · replayed · recorded on 2026-11-20'
  ]);
});

it('ends its details where there are too many answers to tell of', () => {
  const answers = Array.from({ length: 1000 }, () => provenance());

  const found = badge({ answers, failed: false }, SOURCE, trans, 2);

  expect(found?.details.split('\n')).toHaveLength(22);
});
