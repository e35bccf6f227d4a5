import { expect, it } from 'vitest';

import { readProvenance } from '../src/answers/provenance';
import { provenance } from './answerfakes';

it('reads what the kernel writes as it stands', () => {
  expect(readProvenance(JSON.parse(JSON.stringify(provenance())))).toEqual(provenance());
});

const NOTHING = readProvenance({});

it.each([
  ['null', null],
  ['text', 'x'],
  ['a list', [1, 2]],
  [
    'values of other types',
    {
      version: '1',
      model: {},
      key: 7,
      ordinal: -1,
      cost: 0.5,
      saved: '1e999',
      tokens: [1],
      prices: 'x',
      notes: { length: 9 },
      attempts: 'x',
      latency_ms: Infinity,
      prompt_crc32: '7'
    }
  ],
  ['parts of other types', { tokens: 7, notes: [1, null], attempts: ['x', [1]] }]
])('finds nothing in %s', (_, found) => {
  expect(readProvenance(found)).toEqual(NOTHING);
});

it('counts only whole tokens', () => {
  const tokens = { output_tokens: 1.5, uncached_input_tokens: 2, cache_read_tokens: -1 };

  expect(readProvenance({ tokens }).tokens).toEqual({ uncached_input_tokens: 2 });
});

it('cuts what is too long', () => {
  const found = readProvenance({ model: 'x'.repeat(1e6), notes: Array(1e5).fill('y') });

  expect(found.model?.length).toBeLessThan(3_000);
  expect(found.notes.length).toBeLessThan(200);
});
