/** Answers as the kernel describes them, made by hand. */

import type { Provenance } from '../src/kernel/types';

export function provenance(changes: Partial<Provenance> = {}): Provenance {
  return {
    version: 1,
    model: 'openai/gpt-5-mini',
    provider: 'openai',
    key: 'ab'.repeat(32),
    ordinal: 0,
    source: 'live',
    recorded: '2026-11-20T12:00:00+00:00',
    cost: '0.001061',
    saved: null,
    cost_source: 'list',
    tokens: { uncached_input_tokens: 1204, output_tokens: 380 },
    prices: { uncached_input_tokens: '0.00000025', output_tokens: '0.000002' },
    latency_ms: 1800,
    finish_reason: 'stop',
    notes: [],
    attempts: [{ model: 'openai/gpt-5-mini', error: null, latency_ms: 1800 }],
    prompt_crc32: null,
    ...changes
  };
}

export const replayed = { source: 'replay', cost: '0', saved: '0.001061', latency_ms: null };
