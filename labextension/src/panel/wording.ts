/** What things are called in the side panel, and how calls are told in words. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { KernelGoneError } from '../kernel/kernel';
import type { Call, Mode, Outcome, Sums } from '../kernel/types';

/** How a call ended, in one or two words. */
export function outcomeWord(outcome: Outcome, trans: TranslationBundle): string {
  switch (outcome) {
    case 'live':
      return trans.__('live');
    case 'replay':
      return trans.__('replayed');
    case 'miss':
      return trans.__('not recorded');
    case 'refused':
      return trans.__('refused');
    case 'error':
      return trans.__('failed');
    case 'incomplete':
      return trans.__('incomplete');
    case 'interrupted':
      return trans.__('interrupted');
    case 'pending':
      return trans.__('under way');
    case 'closed':
      return trans.__('closed early');
    case 'unknown':
      return trans.__('unknown');
  }
}

/** Why something failed; what the kernel says is in its own words. */
export function errorText(error: unknown, trans: TranslationBundle): string {
  if (error instanceof KernelGoneError) {
    return trans.__('the kernel went away before it answered');
  }
  return error instanceof Error ? error.message : String(error);
}

/** What a mode does. */
export function modeMeaning(mode: Mode, trans: TranslationBundle): string {
  switch (mode) {
    case 'REPLAY':
      return trans.__('answers come from recordings only; nothing is asked');
    case 'FALLBACK':
      return trans.__('what is recorded is replayed, the rest is asked');
    case 'CAPTURE':
      return trans.__('everything is asked anew and recorded');
    case 'DISABLED':
      return trans.__('everything is asked, nothing is recorded');
  }
}

/** What a budget is for. */
export function budgetName(per: string, trans: TranslationBundle): string {
  switch (per) {
    case 'session':
      return trans.__('per session');
    case 'call':
      return trans.__('per call');
    case 'cell':
      return trans.__('per run of a cell');
    case 'day':
      return trans.__('per day, all notebooks of the folder');
    case 'process':
      return trans.__('per process');
    case 'block':
      return trans.__('of the block that runs');
    default:
      return trans.__('per %1', per);
  }
}

/** How many calls there were, and of which kind. */
export function callsMade(sums: Sums, trans: TranslationBundle): string {
  return trans.__('%1 live, %2 replayed', sums.live, sums.replayed);
}

/** The beginning of a text in one line. */
export function firstWords(text: string | null, longest = 160): string {
  const line = (text ?? '')
    .slice(0, 2 * longest)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1)}…`;
}

/** When something was, for people of this place: the time, with the day when it is not today. */
export function when(started: string, now: Date = new Date()): string {
  const date = new Date(started);
  if (Number.isNaN(date.getTime())) {
    return '';
  }
  const today = date.toDateString() === now.toDateString();
  return today
    ? date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
    : date.toLocaleString(undefined, {
        month: 'short',
        day: 'numeric',
        hour: '2-digit',
        minute: '2-digit'
      });
}

/** Whether a text is in what a call shows; case does not matter, and all of the words have to be. */
export function matches(call: Call, text: string, trans: TranslationBundle): boolean {
  const shown = [
    outcomeWord(call.outcome, trans),
    call.model,
    call.prompt,
    call.cell_line,
    call.error
  ]
    .join('\n')
    .toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every(word => shown.includes(word));
}

/**
 * The requests that have no recording, newest first: those whose last call missed.
 *
 * One that was asked again and answered is mended.
 *
 * @param calls - oldest first
 */
export function misses(calls: readonly Call[]): Call[] {
  const last = new Map<string, Call>();
  for (const call of calls) {
    const request = call.key === null ? call.id : `${call.key}#${call.ordinal}`;
    last.delete(request);
    last.set(request, call);
  }
  return [...last.values()].filter(call => call.outcome === 'miss').reverse();
}

/** One thing to do: a command that runs as it stands, or words. */
export interface Step {
  readonly text: string;
  readonly runs: boolean;
}

/** What the doctor says, and what mends it, in this order; empty where it names nothing. */
export interface Advice {
  readonly reason: string;
  readonly remedy: readonly Step[];
}

/** Read `llm_magic.doctor.Diagnosis.to_text()`, whose last line is the remedy. */
export function advice(explanation: string): Advice {
  const found = /\n {2}to mend it: +(.+)\s*$/.exec(explanation);
  return found
    ? { reason: explanation.slice(0, found.index), remedy: steps(found[1]) }
    : { reason: explanation, remedy: [] };
}

/** A command for terminals is one step, whatever is in it; others stand between commas. */
function steps(remedy: string): Step[] {
  return remedy.startsWith('llm-magic ')
    ? [{ text: remedy, runs: true }]
    : remedy.split(', ').map(text => ({ text, runs: text.startsWith('%') }));
}

/**
 * An amount as people type it, as the kernel takes it.
 *
 * @returns the decimal number as text; null when it is none, or not more than nothing
 */
export function amount(typed: string): string | null {
  const text = typed.trim().replace(/^\$\s*/, '');
  return /^(\d+(\.\d*)?|\.\d+)$/.test(text) && Number(text) > 0 ? text : null;
}

/** Why a text is no amount; null where it is one. */
export function amountProblem(typed: string, trans: TranslationBundle): string | null {
  if (amount(typed) !== null) {
    return null;
  }
  return /^[$\s]*\d*,\d+\s*$/.test(typed)
    ? trans.__('Write a point in place of the comma, such as 0.50')
    : trans.__('Type an amount in USD, such as 0.50');
}

/**
 * Whether a cell's first line with something in it is the one that `llm_magic` named it by.
 *
 * There a long line ends in `…`, and blanks in a row are one.
 */
export function begins(source: string, line: string | null): boolean {
  const first = source.split('\n').find(text => text.trim()) ?? '';
  const [found, name] = [squeezed(first), squeezed(line ?? '')];
  return name.endsWith('…') ? found.startsWith(name.slice(0, -1)) : found === name;
}

function squeezed(text: string): string {
  return text.trim().replace(/\s+/g, ' ');
}
