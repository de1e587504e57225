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

const OUTLIERS = 0.01;

/**
 * The least value, and where a colour scale over these values ends: the highest hundredth of them (at least one) may stretch
 * it beyond `free` only up to twice the range of the others. So one outlier does not make all else one colour.
 * @param {ArrayLike<number>} values
 * @param {number} free
 * @returns {[low: number, high: number]}
 */
export function cappedExtent(values, free) {
  const sorted = Float32Array.from(values).sort();
  const low = sorted[0];
  const rest = sorted[Math.max(sorted.length - 1 - Math.ceil(OUTLIERS * sorted.length), 0)];
  return [low, Math.min(sorted[sorted.length - 1], Math.max(free, low + 2 * (rest - low)))];
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
