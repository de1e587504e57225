// @ts-check
// Numbers: their range, and as text.

/**
 * The least and the greatest value.
 * @param {Iterable<number>} values
 * @returns {[low: number, high: number]}
 */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/**
 * @param {number} share
 * @param {number} [digits]
 */
export function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)}%`;
}

/** @param {number} value */
export function formatNumber(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 1e-6) return "0";
  if (size >= 10000 || size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/**
 * A number with the digits that its precision warrants.
 * @param {number} value
 * @param {number} precision
 */
export function formatTo(value, precision) {
  if (!(precision > 0)) return formatNumber(value);
  const digits = Math.min(Math.max(Math.floor(-Math.log10(2 * precision)), 0), 6);
  const least = 10 ** -digits;
  return value > 0 && value < least / 2 && digits ? `< ${least.toFixed(digits)}` : value.toFixed(digits);
}
