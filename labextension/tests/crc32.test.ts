import { expect, it } from 'vitest';

import { crc32 } from '../src/answers/crc32';

it.each([
  ['', 0],
  ['%%complete\nHi', 3704433226],
  ['ä€😀', 534632567]
])('gives %j the number that zlib gives it', (text, number) => {
  expect(crc32(text)).toBe(number);
});
