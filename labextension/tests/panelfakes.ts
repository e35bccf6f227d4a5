/** A notebook with its kernel, as the views of the side panel see them, made by hand. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { vi } from 'vitest';

import { usd } from '../src/format';
import type { Session } from '../src/kernel/session';
import type { Call, State, Sums } from '../src/kernel/types';

const filled = (text: string, values: unknown[]) =>
  text.replace(/%(\d)/g, (_, at: string) => String(values[Number(at) - 1]));

export const trans = {
  __: (text: string, ...values: unknown[]) => filled(text, values),
  _n: (one: string, many: string, n: number, ...values: unknown[]) =>
    filled(n === 1 ? one : many, [n, ...values])
} as unknown as TranslationBundle;

export function sums(changes: Partial<Sums> = {}): Sums {
  return { spent: '0', saved: '0', unknown: 0, live: 0, replayed: 0, ...changes };
}

export function state(changes: Partial<State> = {}): State {
  return {
    type: 'state',
    version: 1,
    kernel: 'k',
    mode: 'FALLBACK',
    origin: 'the default',
    pinned: null,
    notebook: 'analysis',
    session: sums(),
    total: sums(),
    models: [],
    cells: [],
    budgets: [],
    cassette: { name: 'analysis.cassette.jsonl', recordings: 3, unsaved: 1, unnamed: 0 },
    problem: null,
    ...changes
  };
}

let calls = 0;

export function call(changes: Partial<Call> = {}): Call {
  calls += 1;
  return {
    id: `call-${calls}`,
    started: '2026-11-20T12:00:00Z',
    outcome: 'live',
    model: 'openai/gpt-5-mini',
    cost: '0.01',
    saved: null,
    latency_ms: 1200,
    input_tokens: 10,
    output_tokens: 20,
    cell_id: 'cell',
    cell_line: '%%complete',
    prompt: 'Why?',
    error: null,
    explanation: null,
    key: `key-${calls}`,
    ordinal: 0,
    ...changes
  };
}

/** Surroundings whose kernel answers with null, until a test says otherwise. */
export function around() {
  return {
    session: {
      state: state() as State | null,
      problem: null as string | null,
      calls: [] as Call[],
      ask: vi.fn<Session['ask']>(() => Promise.resolve(null))
    },
    document: {
      name: 'analysis',
      cells: vi.fn<() => string[]>(() => []),
      save: vi.fn(() => Promise.resolve()),
      running: false,
      revert: vi.fn(() => Promise.resolve()),
      show: vi.fn(() => true)
    },
    trans,
    decimals: vi.fn(() => 2),
    usd: (amount: string | null) => usd(amount),
    copy: vi.fn(),
    jump: vi.fn()
  };
}

/** The first element of a kind. */
export function find(node: HTMLElement, selector: string): HTMLElement {
  const found = node.querySelector<HTMLElement>(selector);
  if (!found) {
    throw new Error(`no ${selector} in ${node.textContent}`);
  }
  return found;
}

export function button(node: HTMLElement, name: string): HTMLButtonElement {
  const found = [...node.querySelectorAll('button')].find(one => one.textContent === name);
  if (!found) {
    throw new Error(`no button ${name} in ${node.textContent}`);
  }
  return found;
}
