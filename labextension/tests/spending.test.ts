import { expect, it } from 'vitest';

import { details, level, line, tightest, warning } from '../src/spending';
import type { Budget } from '../src/kernel/types';
import { state, sums, trans } from './panelfakes';

function budget(limit: string, settled: string, per = 'session', reserved = '0'): Budget {
  const left = String(Number(limit) - Number(settled) - Number(reserved));
  return { per, limit, settled, reserved, left, origin: '', ceiling: false };
}

it.each([
  [{}, [], 'llm-magic: FALLBACK · $0.00 spent · $0.00 saved'],
  [
    { spent: '0.0042', saved: '0.01', unknown: 2 },
    [budget('1', '0.25')],
    'llm-magic: FALLBACK · $0.0042 spent · $0.01 saved · 2 unknown · $0.75 left'
  ],
  [
    {},
    [budget('1', '0.25', 'session', '0.75')],
    'llm-magic: FALLBACK · $0.00 spent · $0.00 saved · $0.00 left · $0.75 set aside'
  ]
])('shows %o and %o in a line', (changes, budgets, shown) => {
  expect(line(state({ session: sums(changes), budgets }), 2, trans)).toBe(shown);
});

it.each([
  ['0.79', 'fine', ''],
  ['0.8', 'warning', '80 % of the budget per day, all notebooks of the folder is used'],
  ['0.9999', 'warning', '99 % of the budget per day, all notebooks of the folder is used'],
  ['1', 'error', 'the budget per day, all notebooks of the folder is used up']
])('is, with %s of a dollar spent, %s', (settled, expected, words) => {
  const now = state({ budgets: [budget('9', '0'), budget('1', settled, 'day')] });

  expect(level(now)).toBe(expected);
  expect(warning(now, trans)).toBe(words);
});

it('takes a budget of nothing for used up', () => {
  expect(level(state({ budgets: [budget('0', '0')] }))).toBe('error');
});

it('warns of nothing that is only set aside', () => {
  const now = state({ budgets: [budget('1', '0', 'session', '1')] });

  expect(level(now)).toBe('fine');
  expect(warning(now, trans)).toBe('');
  expect(details(now, 2, trans)).toContain(
    'budget per session: $0.00 of $1.00 left, 0 % used, $1.00 set aside'
  );
});

it('shows what is left of the budget of which the largest share is gone', () => {
  const small = budget('100', '95');

  expect(tightest([budget('1', '0.5'), small])).toBe(small);
});

it('tells sessions and budgets in sentences', () => {
  const total = sums({ spent: '1', live: 3, replayed: 4 });

  expect(details(state({ total, budgets: [budget('2', '1.5')] }), 2, trans).split('\n')).toEqual([
    'this session: $0.00 spent, $0.00 saved, 0 live, 0 replayed',
    'all sessions of this notebook: $1.00 spent, $0.00 saved, 3 live, 4 replayed',
    'budget per session: $0.50 of $2.00 left, 75 % used'
  ]);
});

it('says of a notebook without a name that the sum is that of the folder', () => {
  const total = sums({ spent: '1' });

  expect(details(state({ notebook: null, total }), 2, trans)).toContain(
    'all notebooks of this folder: $1.00 spent'
  );
});
