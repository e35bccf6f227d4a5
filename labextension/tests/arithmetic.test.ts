import { expect, it } from 'vitest';

import { arithmetic } from '../src/answers/arithmetic';
import { provenance, replayed } from './answerfakes';
import { trans } from './panelfakes';

it.each([
  [
    'a live answer',
    {},
    [
      '1,204 input tokens × $0.25/M = $0.000301',
      '380 output tokens × $2.00/M = $0.00076',
      'sum: $0.001061'
    ]
  ],
  [
    'a replay',
    replayed,
    [
      '1,204 input tokens × $0.25/M = $0.000301',
      '380 output tokens × $2.00/M = $0.00076',
      'sum: $0.001061, saved: a replay costs nothing'
    ]
  ],
  [
    'tokens from the cache and of reasoning, which cost more',
    {
      tokens: { cache_read_tokens: 1000, output_tokens: 300, reasoning_tokens: 100 },
      prices: {
        cache_read_tokens: '0.000001',
        output_tokens: '0.000002',
        reasoning_tokens: '0.000001'
      },
      cost: '0.0017'
    },
    [
      '1,000 input tokens from the cache × $1.00/M = $0.001',
      '300 output tokens × $2.00/M = $0.0006',
      '100 of them for reasoning × $1.00/M = $0.0001',
      'sum: $0.0017'
    ]
  ],
  [
    'reasoning without a price of its own',
    { tokens: { output_tokens: 300, reasoning_tokens: 100 }, cost: '0.0006' },
    ['300 output tokens × $2.00/M = $0.0006', 'sum: $0.0006']
  ],
  [
    'a model that is free',
    { tokens: { output_tokens: 9 }, prices: { output_tokens: '0' }, cost: '0' },
    ['9 output tokens × $0.00/M = $0.00', 'sum: $0.00']
  ],
  [
    'something that is not counted in tokens',
    { prices: null, cost: '0.01076' },
    ['tokens alone do not give what it cost', 'sum: $0.01076']
  ],
  [
    'a provider that says it itself',
    { prices: null, cost_source: 'provider', cost: '0.5' },
    ['the provider itself said what it cost', 'sum: $0.50']
  ],
  [
    'a price that nobody knows',
    { prices: null, cost: null, cost_source: 'unknown' },
    ['nobody knows what it cost: the prices of this model are not known']
  ],
  [
    'tokens that nobody told',
    { tokens: null, cost: null },
    ['nobody knows what it cost: the provider did not tell how many tokens there were']
  ],
  [
    'prices that are none',
    { tokens: { output_tokens: 1 }, prices: { output_tokens: { a: 1 } }, cost: '1' },
    ['tokens alone do not give what it cost', 'sum: $1.00']
  ]
])('explains the cost of %s', (_, changes, lines) => {
  expect(arithmetic(provenance(changes), trans, 2)).toEqual(lines);
});

it('has input before output, and unknown kinds last, in whichever order a file has them', () => {
  const names = ['a_tokens', 'output_tokens', 'reasoning_tokens', 'uncached_input_tokens'];
  const tokens = Object.fromEntries(names.map(name => [name, 1]));
  const prices = Object.fromEntries(names.map(name => [name, '0.000001']));

  const lines = arithmetic(provenance({ tokens, prices, cost: '0.000004' }), trans, 2);

  expect(lines.map(line => line.replace(/ × .*/, ''))).toEqual([
    '1 input tokens',
    '1 output tokens',
    '1 of them for reasoning',
    '1 other tokens',
    'sum: $0.000004'
  ]);
});
