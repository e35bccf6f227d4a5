/** What the status bar says of a notebook's money: pure functions of the kernel's state. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { usd } from './format';
import type { Budget, State, Sums } from './kernel/types';
import { budgetName, callsMade } from './panel/wording';

/** How near the end a budget is. */
export type Level = 'fine' | 'warning' | 'error';

/** The share of a budget from which on people are warned. */
const WARN_AT = 0.8;

/** The share of a budget that is gone, from 0 to 1; what is set aside may come back. */
export function used(budget: Budget): number {
  const limit = Number(budget.limit);
  return limit > 0 ? Math.min(Number(budget.settled) / limit, 1) : 1;
}

/** The budget of which the largest share is gone; null where there is none. */
export function tightest(budgets: readonly Budget[]): Budget | null {
  return budgets.reduce<Budget | null>(
    (least, one) => (least === null || used(one) > used(least) ? one : least),
    null
  );
}

/** Whether people should look at their budgets. */
export function level(state: State): Level {
  const budget = tightest(state.budgets);
  return budget === null ? 'fine' : levelOf(budget);
}

/** How near its end one budget is. */
export function levelOf(budget: Budget): Level {
  const share = used(budget);
  return share >= 1 ? 'error' : share >= WARN_AT ? 'warning' : 'fine';
}

/** One line: mode, money spent and saved, and what is left. */
export function line(state: State, decimals: number, trans: TranslationBundle): string {
  const parts = [`llm-magic: ${state.mode}`, ...sums(state.session, decimals, trans)];
  const budget = tightest(state.budgets);
  if (budget) {
    parts.push(trans.__('%1 left', usd(budget.left, decimals)));
    if (Number(budget.reserved)) {
      parts.push(trans.__('%1 set aside', usd(budget.reserved, decimals)));
    }
  }
  return parts.join(' · ');
}

/** All of it in sentences, a line each: this session, all of this notebook, and the budgets. */
export function details(state: State, decimals: number, trans: TranslationBundle): string {
  const told = (of: Sums): string =>
    [...sums(of, decimals, trans), callsMade(of, trans)].join(', ');
  return [
    trans.__('this session: %1', told(state.session)),
    state.notebook === null
      ? trans.__('all notebooks of this folder: %1', told(state.total))
      : trans.__('all sessions of this notebook: %1', told(state.total)),
    ...state.budgets.map(budget => budgetLine(budget, decimals, trans)),
    ...(state.problem ? [state.problem] : [])
  ].join('\n');
}

/** What is wrong, for those who do not see colours; empty where all is well. */
export function warning(state: State, trans: TranslationBundle): string {
  const budget = tightest(state.budgets);
  if (budget === null || level(state) === 'fine') {
    return '';
  }
  return level(state) === 'error'
    ? trans.__('the budget %1 is used up', budgetName(budget.per, trans))
    : trans.__('%1 % of the budget %2 is used', percent(budget), budgetName(budget.per, trans));
}

function sums(of: Sums, decimals: number, trans: TranslationBundle): string[] {
  const parts = [
    trans.__('%1 spent', usd(of.spent, decimals)),
    trans.__('%1 saved', usd(of.saved, decimals))
  ];
  if (of.unknown > 0) {
    parts.push(trans.__('%1 unknown', of.unknown));
  }
  return parts;
}

function budgetLine(budget: Budget, decimals: number, trans: TranslationBundle): string {
  const told = trans.__(
    'budget %1: %2 of %3 left, %4 % used',
    budgetName(budget.per, trans),
    usd(budget.left, decimals),
    usd(budget.limit, decimals),
    percent(budget)
  );
  return Number(budget.reserved)
    ? trans.__('%1, %2 set aside', told, usd(budget.reserved, decimals))
    : told;
}

/** Rounded down: 100 % is said of what is used up, and of nothing else. */
function percent(budget: Budget): number {
  return Math.floor(100 * used(budget) + 1e-9);
}
