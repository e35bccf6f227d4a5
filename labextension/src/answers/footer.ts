/** The quiet line under an answer; the same as `llm_magic.notebook.display.footer` writes. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { count, duration, usd } from '../format';
import { inputTokens, isReplay, outputTokens } from './provenance';
import type { Provenance } from '../kernel/types';

/** Model, tokens, cost, live or replayed: `openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live 1.8 s`. */
export function footer(provenance: Provenance, trans: TranslationBundle, decimals: number): string {
  const { tokens, cost } = provenance;
  const counted = tokens
    ? `${count(inputTokens(provenance))} + ${count(outputTokens(provenance))}`
    : '?';
  return [
    plainly(modelName(provenance)),
    trans.__('%1 tokens', counted),
    usd(cost, decimals),
    howAnswered(provenance, trans)
  ]
    .filter(part => part)
    .join(' · ');
}

/** The model that answered; the provider, where no model is known. */
export function modelName(provenance: Provenance): string {
  return provenance.model ?? provenance.provider ?? '';
}

/** The day an answer was recorded, as `2026-11-20`; null where it is not known. */
export function day(provenance: Provenance): string | null {
  return /^\d{4}-\d{2}-\d{2}(?=T|$)/.exec(provenance.recorded ?? '')?.[0] ?? null;
}

/** One line in which nothing is hidden: what turns the rest of a line around shows its code. */
export function plainly(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, hidden => {
      const code = hidden.codePointAt(0) ?? 0;
      return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
    });
}

function howAnswered(provenance: Provenance, trans: TranslationBundle): string {
  if (isReplay(provenance)) {
    const from = day(provenance);
    return from ? trans.__('replayed from %1', from) : trans.__('replayed');
  }
  if (provenance.source !== 'live') {
    return '';
  }
  return provenance.latency_ms === null
    ? trans.__('live')
    : trans.__('live %1', duration(provenance.latency_ms));
}
