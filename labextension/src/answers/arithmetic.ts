/** How the cost of an answer comes from its tokens and prices. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { count, usd } from '../format';
import { INPUT, isReplay, price } from './provenance';
import type { Provenance } from '../kernel/types';

/**
 * The lines of the sum: one for each kind of tokens, and the amount that was paid or saved.
 *
 * `1,204 input tokens × $0.25/M = $0.000301`
 *
 * @param decimals - of amounts from one dollar on
 */
export function arithmetic(
  provenance: Provenance,
  trans: TranslationBundle,
  decimals: number
): string[] {
  const amount = isReplay(provenance) ? provenance.saved : provenance.cost;
  if (amount === null) {
    return [unknown(provenance, trans)];
  }
  const sum = isReplay(provenance)
    ? trans.__('sum: %1, saved: a replay costs nothing', usd(amount, decimals))
    : trans.__('sum: %1', usd(amount, decimals));
  return [...products(provenance, trans, decimals), sum];
}

/** Each kind of tokens times its price. */
function products(
  { tokens, prices, cost_source }: Provenance,
  trans: TranslationBundle,
  decimals: number
): string[] {
  const lines = inOrder(tokens ?? {}).flatMap(([bucket, number]) => {
    const each = price(prices, bucket);
    return each === null
      ? []
      : [
          trans.__(
            '%1 %2 × %3/M = %4',
            count(number),
            bucketName(bucket, trans),
            usd(String(each * 1e6), decimals),
            usd(String(each * number), decimals)
          )
        ];
  });
  if (cost_source === 'provider') {
    return [trans.__('the provider itself said what it cost')];
  }
  return lines.length > 0 ? lines : [trans.__('tokens alone do not give what it cost')];
}

/**
 * Input before output, parts after what they are part of, then what we do not know.
 *
 * A saved notebook has its keys in the order of the alphabet.
 */
function inOrder(tokens: Record<string, number>): [string, number][] {
  const places = new Map(BUCKETS.map((bucket, place) => [bucket, place]));
  const placeOf = (bucket: string): number => places.get(bucket) ?? BUCKETS.length;
  return Object.entries(tokens).sort(([one], [other]) => placeOf(one) - placeOf(other));
}

/** See `llm_magic.types.Usage`. */
const BUCKETS: readonly string[] = [
  ...INPUT,
  'output_tokens',
  'reasoning_tokens',
  'output_audio_tokens'
];

/** Why nobody knows what it cost. */
function unknown({ tokens }: Provenance, trans: TranslationBundle): string {
  return tokens
    ? trans.__('nobody knows what it cost: the prices of this model are not known')
    : trans.__('nobody knows what it cost: the provider did not tell how many tokens there were');
}

/** The name of a kind of tokens; see `llm_magic.types.Usage`. */
function bucketName(bucket: string, trans: TranslationBundle): string {
  switch (bucket) {
    case 'uncached_input_tokens':
      return trans.__('input tokens');
    case 'cache_read_tokens':
      return trans.__('input tokens from the cache');
    case 'cache_write_tokens':
      return trans.__('input tokens into the cache');
    case 'cache_write_1h_tokens':
      return trans.__('input tokens into the cache for an hour');
    case 'input_audio_tokens':
      return trans.__('input tokens of audio');
    case 'output_tokens':
      return trans.__('output tokens');
    // Parts of the output tokens: their price is what they cost on top.
    case 'reasoning_tokens':
      return trans.__('of them for reasoning');
    case 'output_audio_tokens':
      return trans.__('of them for audio');
    default:
      return trans.__('other tokens');
  }
}
