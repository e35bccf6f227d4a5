/** Where an answer came from, read from the outputs of a notebook, in which anything may stand. */

import type { Provenance } from '../kernel/types';

/** The mime type under which the kernel writes it. */
export const MIME_TYPE = 'application/vnd.llm-magic+json';

/** Longer names and notes are no names and notes. */
const LONGEST = 2_000;
const MOST = 100;

/** What could be read of it; what is missing or of another type is null, or empty. */
export function readProvenance(found: unknown): Provenance {
  const given = record(found);
  return {
    version: number(given.version) ?? 0,
    model: text(given.model),
    provider: text(given.provider),
    key: text(given.key) ?? '',
    ordinal: number(given.ordinal) ?? 0,
    source: text(given.source) ?? '',
    recorded: text(given.recorded),
    cost: amount(given.cost),
    saved: amount(given.saved),
    cost_source: text(given.cost_source),
    tokens: counts(given.tokens),
    prices: isRecord(given.prices) ? given.prices : null,
    latency_ms: number(given.latency_ms),
    finish_reason: text(given.finish_reason),
    notes: list(given.notes)
      .map(text)
      .filter(note => note !== null),
    attempts: list(given.attempts).filter(isRecord),
    prompt_crc32: number(given.prompt_crc32)
  };
}

/** Whether it says in a way that we know where the answer came from. */
export function isKnown({ source }: Provenance): boolean {
  return source === 'live' || source === 'replay';
}

/** Whether it was replayed from a recording. */
export function isReplay(provenance: Provenance): boolean {
  return provenance.source === 'replay';
}

/** The tokens of a bucket; an empty one is not written down. */
function bucket(tokens: Record<string, number>, name: string): number {
  return Object.hasOwn(tokens, name) ? tokens[name] : 0;
}

/** USD for one token of a bucket; null where there is none. */
export function price(prices: Provenance['prices'], bucket: string): number | null {
  const found = prices !== null && Object.hasOwn(prices, bucket) ? prices[bucket] : null;
  return typeof found === 'string' && /^-?\d{1,9}(\.\d{1,40})?$/.test(found) ? Number(found) : null;
}

/** All input tokens, cached or not; null where nobody told. */
export function inputTokens({ tokens }: Provenance): number | null {
  return tokens && INPUT.reduce((total, name) => total + bucket(tokens, name), 0);
}

/** The buckets of input tokens. */
export const INPUT = [
  'uncached_input_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'cache_write_1h_tokens',
  'input_audio_tokens'
];

/** All output tokens; null where nobody told. */
export function outputTokens({ tokens }: Provenance): number | null {
  return tokens && bucket(tokens, 'output_tokens');
}

/** Text, when it is text. */
export function text(value: unknown): string | null {
  if (typeof value !== 'string') {
    return null;
  }
  return value.length <= LONGEST ? value : `${value.slice(0, LONGEST)}…`;
}

/** A number that is not less than nothing. */
export function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
}

function amount(value: unknown): string | null {
  return typeof value === 'string' && /^\d{1,15}(\.\d{1,40})?$/.test(value) ? value : null;
}

function counts(value: unknown): Record<string, number> | null {
  if (!isRecord(value)) {
    return null;
  }
  const found: Record<string, number> = {};
  for (const [name, count] of Object.entries(value).slice(0, MOST)) {
    if (Number.isSafeInteger(count) && (count as number) >= 0) {
      found[name] = count as number;
    }
  }
  return found;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST) : [];
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
