import { expect, it } from 'vitest';

import { details, level, line, tightest, warning } from '../src/spending';
import type { Budget } from '../src/kernel/types';
import { state, sums, trans } from './panelfakes';

function budget(limit: string, left: string, per = 'session'): Budget {
  return { per, limit, settled: '0', reserved: '0', left, origin: '', ceiling: false };
}

it.each([
  [{}, [], 'llm-magic: FALLBACK · $0.00 spent · $0.00 saved'],
  [
    { spent: '0.0042', saved: '0.01', unknown: 2 },
    [budget('1', '0.99')],
    'llm-magic: FALLBACK · $0.0042 spent · $0.01 saved · 2 unknown · $0.99 left'
  ]
])('shows %o and %o in a line', (changes, budgets, shown) => {
  expect(line(state({ session: sums(changes), budgets }), 2, trans)).toBe(shown);
});

it.each([
  ['0.21', 'fine', ''],
  ['0.2', 'warning', '80 % of the budget per day, all notebooks of the folder is used'],
  ['0.0001', 'warning', '99 % of the budget per day, all notebooks of the folder is used'],
  ['0', 'error', 'the budget per day, all notebooks of the folder is used up']
])('is, with %s of a dollar left, %s', (left, expected, words) => {
  const now = state({ budgets: [budget('9', '9'), budget('1', left, 'day')] });

  expect(level(now)).toBe(expected);
  expect(warning(now, trans)).toBe(words);
});

it('takes a budget of nothing for used up', () => {
  expect(level(state({ budgets: [budget('0', '0')] }))).toBe('error');
});

it('shows what is left of the budget with the smallest share left', () => {
  const small = budget('100', '5');

  expect(tightest([budget('1', '0.5'), small])).toBe(small);
});

it('tells sessions and budgets in sentences', () => {
  const total = sums({ spent: '1', live: 3, replayed: 4 });

  expect(details(state({ total, budgets: [budget('2', '0.5')] }), 2, trans).split('\n')).toEqual([
    'this session: $0.00 spent, $0.00 saved, 0 live, 0 replayed',
    'all sessions of this notebook: $1.00 spent, $0.00 saved, 3 live, 4 replayed',
    'budget per session: $0.50 of $2.00 left, 75 % used'
  ]);
});
