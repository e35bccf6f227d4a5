/** Numbers as people read them. */

/**
 * An amount of money, precise where it is small: `$0.0042`, `$12.35`; unknown is `$?`.
 *
 * The same as `llm_magic.formats.usd`, where decimals is 2.
 *
 * @param amount - USD as decimal text; null when nobody knows
 * @param decimals - digits after the point, from one dollar on
 */
export function usd(amount: string | null, decimals = 2): string {
  if (amount === null) {
    return '$?';
  }
  const value = Number(amount);
  if (!Number.isFinite(value)) {
    return '$?';
  }
  const size = Math.abs(value);
  const sign = value < 0 ? '-' : '';
  if (size === 0) {
    return `$${(0).toFixed(decimals)}`;
  }
  // From one dollar on: cents. Below: four digits that matter, without the zeros after them.
  const places = size >= 1 ? decimals : Math.max(decimals, 3 - Math.floor(Math.log10(size)));
  const fixed = size.toFixed(Math.min(places, 20));
  const [whole, fraction = ''] = fixed.split('.');
  const kept = fraction.replace(/0+$/, '').padEnd(decimals, '0');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${sign}$${grouped}${kept ? `.${kept}` : ''}`;
}

/** A whole number with separators; unknown is `?`. */
export function count(number: number | null): string {
  return number === null ? '?' : String(number).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Of a longer text no more is shown: a page with megabytes of it stands still. */
const MOST_SHOWN = 200_000;

/** A text as it is shown, which ends in `…` where there is more of it. */
export function shown(text: string): string {
  return text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}\n…`;
}

/** A time span: `26 ms`, `1.8 s`. */
export function duration(milliseconds: number): string {
  return milliseconds < 100
    ? `${milliseconds.toFixed(0)} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
}
