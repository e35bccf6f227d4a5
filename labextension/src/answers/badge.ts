/** What the badge of a cell says, from the outputs that the notebook holds: no kernel is needed. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { crc32 } from './crc32';
import { day, modelName, plainly } from './footer';
import { count, usd } from '../format';
import { isPrompt } from '../prompts/placeholders';
import { inputTokens, isKnown, isReplay, outputTokens } from './provenance';
import type { Provenance } from '../kernel/types';

/** What a cell shows that a badge speaks of. */
export interface Answered {
  /** Of every answer among its outputs. */
  readonly answers: readonly Provenance[];
  /** Whether there is an error among its outputs. */
  readonly failed: boolean;
}

/** A badge. */
export interface Badge {
  readonly kind: 'live' | 'replayed' | 'stale' | 'failed';
  /** `replayed · saved $0.0042 · gpt-5-mini`. */
  readonly text: string;
  /** Everything that is known, in lines. */
  readonly details: string;
}

/** As many models are named. */
const MOST_MODELS = 2;
/** As many answers have a line of their own. */
const MOST_LINES = 20;

/**
 * The badge of a cell.
 *
 * @param source - the cell's source as it is now
 * @param decimals - of amounts from one dollar on
 * @returns null where there is nothing to say
 */
export function badge(
  { answers: found, failed }: Answered,
  source: string,
  trans: TranslationBundle,
  decimals: number
): Badge | null {
  // Of an answer that does not say where it came from, neither do we.
  const answers = found.filter(isKnown);
  const hasFailed = failed && isPrompt(source);
  if (answers.length === 0 && !hasFailed) {
    return null;
  }
  const kind = hasFailed ? 'failed' : isStale(answers, source) ? 'stale' : kindOf(answers);
  const parts = [
    word(kind, trans),
    answers.length > 1 ? trans.__('%1 answers', answers.length) : '',
    money(answers, trans, decimals),
    models(answers)
  ];
  return {
    kind,
    text: parts.filter(part => part).join(' · '),
    details: [
      meaning(kind, trans),
      ...answers.slice(0, MOST_LINES).map(answer => line(answer, trans, decimals)),
      ...(answers.length > MOST_LINES ? ['…'] : [])
    ].join('\n')
  };
}

/** Whether a stream says that a magic was misused: IPython prints that and shows no error. */
export function tellsMisuse({ name, text }: { name?: unknown; text?: unknown }): boolean {
  const told = Array.isArray(text) ? text.join('') : text;
  return name === 'stderr' && typeof told === 'string' && /^UsageError: /m.test(told);
}

/** Whether the cell was edited since the answer came. */
function isStale(answers: readonly Provenance[], source: string): boolean {
  const known = answers.map(answer => answer.prompt_crc32).filter(crc => crc !== null);
  if (known.length === 0) {
    return false;
  }
  const now = crc32(source);
  return known.some(crc => crc !== now);
}

function kindOf(answers: readonly Provenance[]): 'live' | 'replayed' {
  return answers.every(isReplay) ? 'replayed' : 'live';
}

function word(kind: Badge['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'live':
      return trans.__('live');
    case 'replayed':
      return trans.__('replayed');
    case 'stale':
      return trans.__('stale');
    case 'failed':
      return trans.__('failed');
  }
}

function meaning(kind: Badge['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'live':
      return trans.__('asked live');
    case 'replayed':
      return trans.__('replayed from recordings, at no cost');
    case 'stale':
      return trans.__('the cell was edited since it was answered');
    case 'failed':
      return trans.__('the cell failed');
  }
}

/** What was spent and saved: `$0.0042`, `saved $0.0042`, `$0.0042 · saved $0.01`. */
function money(answers: readonly Provenance[], trans: TranslationBundle, decimals: number): string {
  const live = answers.filter(answer => !isReplay(answer));
  const replayed = answers.filter(isReplay);
  return [
    live.length > 0 &&
      sum(
        live.map(answer => answer.cost),
        decimals
      ),
    replayed.length > 0 &&
      trans.__(
        'saved %1',
        sum(
          replayed.map(answer => answer.saved),
          decimals
        )
      )
  ]
    .filter(part => part !== false)
    .join(' · ');
}

/** Known amounts; `$0.01 + $?` where one of them is unknown. */
function sum(amounts: readonly (string | null)[], decimals: number): string {
  const known = amounts.filter(amount => amount !== null);
  const total = known.reduce((total, amount) => total + Number(amount), 0);
  const parts = known.length > 0 ? [usd(String(total), decimals)] : [];
  return [...parts, ...(known.length < amounts.length ? [usd(null)] : [])].join(' + ');
}

/** The names of the models, without their providers: there is little room. */
function models(answers: readonly Provenance[]): string {
  const names = [...new Set(answers.map(modelName).filter(name => name))].map(name =>
    plainly(name.slice(name.indexOf('/') + 1))
  );
  const more = names.length > MOST_MODELS ? ', …' : '';
  return names.slice(0, MOST_MODELS).join(', ') + more;
}

function line(answer: Provenance, trans: TranslationBundle, decimals: number): string {
  const from = day(answer);
  return [
    plainly(modelName(answer)),
    answer.tokens &&
      trans.__('%1 + %2 tokens', count(inputTokens(answer)), count(outputTokens(answer))),
    isReplay(answer)
      ? trans.__('saved %1', usd(answer.saved, decimals))
      : usd(answer.cost, decimals),
    isReplay(answer) ? trans.__('replayed') : trans.__('live'),
    from && trans.__('recorded on %1', from)
  ]
    .filter(part => part)
    .join(' · ');
}
