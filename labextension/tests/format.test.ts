import { describe, expect, it } from 'vitest';

import { count, duration, usd } from '../src/format';

describe('usd', () => {
  it.each([
    ['0.0042', '$0.0042'],
    ['0.000018', '$0.000018'],
    ['12.3456', '$12.35'],
    ['1234567.8', '$1,234,567.80'],
    ['0', '$0.00'],
    ['-0.5', '-$0.50'],
    ['0.1', '$0.10'],
    [null, '$?'],
    ['NaN', '$?'],
    ['Infinity', '$?']
  ])('shows %s as %s', (amount, shown) => {
    expect(usd(amount)).toBe(shown);
  });

  it.each([
    ['12.3456', 0, '$12'],
    ['12.3456', 4, '$12.3456'],
    ['0.5', 0, '$0.5'],
    ['0', 0, '$0']
  ])('shows %s with at least %i decimals as %s', (amount, decimals, shown) => {
    expect(usd(amount, decimals)).toBe(shown);
  });
});

it.each([
  [1204, '1,204'],
  [null, '?']
])('counts %s as %s', (number, shown) => {
  expect(count(number)).toBe(shown);
});

it.each([
  [26.4, '26 ms'],
  [1834, '1.8 s']
])('calls %d ms %s', (milliseconds, shown) => {
  expect(duration(milliseconds)).toBe(shown);
});
