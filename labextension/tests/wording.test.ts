import { describe, expect, it } from 'vitest';

import {
  advice,
  amount,
  amountProblem,
  begins,
  firstWords,
  matches,
  misses,
  when
} from '../src/panel/wording';
import { call, trans } from './panelfakes';

it.each([
  ['0.5', '0.5'],
  [' .5 ', '.5'],
  ['$ 2', '2'],
  ['0', null],
  ['0.00', null],
  ['-1', null],
  ['1e3', null],
  ['1,5', null],
  ['Infinity', null],
  ['', null]
])('takes %j as the amount %j', (typed, taken) => {
  expect(amount(typed)).toBe(taken);
});

it.each([
  ['0,50', 'Write a point in place of the comma, such as 0.50'],
  ['$1,5 ', 'Write a point in place of the comma, such as 0.50'],
  ['much', 'Type an amount in USD, such as 0.50'],
  ['', 'Type an amount in USD, such as 0.50'],
  ['0.50', null]
])('says what is wrong with the amount %j: %s', (typed, told) => {
  expect(amountProblem(typed, trans)).toBe(told);
});

describe('misses', () => {
  it('are the requests whose last call missed, newest first', () => {
    const [first, mended, other] = ['a', 'b', 'c'].map(key => call({ key, outcome: 'miss' }));
    const answered = call({ key: 'b', outcome: 'live' });

    expect(misses([first, mended, other, answered])).toEqual([other, first]);
  });

  it('tell each request once, and repeated calls of a cell apart', () => {
    const again = call({ key: 'a', outcome: 'miss' });
    const second = call({ key: 'a', ordinal: 1, outcome: 'miss' });

    expect(misses([call({ key: 'a', outcome: 'miss' }), again, second])).toEqual([second, again]);
  });
});

describe('what mends a miss', () => {
  it('is read from the last line of what the doctor says', () => {
    const told =
      'no recording\n  messages:   [-short-]\n  to mend it: %llm mode FALLBACK, run this cell';

    expect(advice(told)).toEqual({
      reason: 'no recording\n  messages:   [-short-]',
      remedy: [
        { text: '%llm mode FALLBACK', runs: true },
        { text: 'run this cell', runs: false }
      ]
    });
    expect(advice('no recording')).toEqual({ reason: 'no recording', remedy: [] });
  });

  it.each([
    ['ask once with mode="FALLBACK"', false],
    ["llm-magic run 'a, b.ipynb' --mode FALLBACK && llm-magic cassette export 'a, b.ipynb'", true]
  ])('is one step in %s, which runs as it stands: %s', (text, runs) => {
    expect(advice(`no\n  to mend it: ${text}`).remedy).toEqual([{ text, runs }]);
  });
});

it.each([
  ['%%complete', '%%complete\nWhy?', true],
  ['%%complete --out poem', '\n\n  %%complete  --out poem\n', true],
  ['%%complete --sys…', '%%complete --system be brief', true],
  ['%%complete', '%%complete --out poem', false]
])('finds the cell %j by its first line in %j: %s', (line, source, found) => {
  expect(begins(source, line)).toBe(found);
});

it.each([
  ['WHY live', true],
  ['gpt-5 why', true],
  ['failed', false]
])('a call matches %j: %s', (text, found) => {
  expect(matches(call(), text, trans)).toBe(found);
});

it('shows a text in one line, and its beginning when it is long', () => {
  expect(firstWords('one\n\n two ')).toBe('one two');
  expect(firstWords('word '.repeat(1000), 10)).toBe('word word…');
  expect(firstWords(null)).toBe('');
});

it('tells the day of what was not today', () => {
  const noon = new Date(2026, 10, 20, 12);

  expect(when(noon.toISOString(), noon)).toMatch(/^12:00/);
  expect(when(noon.toISOString(), new Date(2026, 10, 21))).toContain('20');
  expect(when('never')).toBe('');
});
