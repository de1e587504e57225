// @ts-check
// Arithmetic of the chart: ranges, ticks, smoothing, what is drawn of a long line.
import { percent } from "../lib/numbers.js";

/** @typedef {"loss" | "accuracy"} Metric */
/** @typedef {[low: number, high: number]} Range */

/**
 * @typedef {object} Line
 * @property {number[]} x rising
 * @property {(number | null)[]} y null is a gap
 * @property {string} colour
 * @property {number[]} dash
 * @property {number} width
 * @property {number} alpha
 * @property {boolean} [dots]
 * @property {number | null} tested where the epoch lies that was tested; its dots are drawn larger and filled
 * @property {string} label of the run
 * @property {string} [name] of the curve; lines without one are not read off
 */

/** Runs of one group share its colour and differ in their dashes. */
export const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3]];

const FAINT = 0.3; // single noisy steps may leave the frame; what is read off must not
const AIR = 0.06; // above and below the lines

/**
 * Lowest and highest value between two x, with a little air.
 * @param {Pick<Line, "x" | "y" | "alpha">[]} lines
 * @param {Range} across
 * @param {boolean} log
 * @param {Metric} metric
 * @returns {Range}
 */
export function valueRange(lines, [x0, x1], log, metric) {
  let low = Infinity;
  let high = -Infinity;
  for (const { x, y, alpha } of lines) {
    if (alpha < FAINT) continue;
    for (let i = 0; i < x.length; i++) {
      const value = drawable(y[i], log);
      if (x[i] < x0 || x[i] > x1 || value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (!(low <= high)) return metric === "accuracy" ? [0, 1] : [log ? 0.1 : 0, 1];
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  const air = (high - low || Math.abs(high) || 1) * AIR;
  return [Math.max(0, low - air), metric === "accuracy" ? Math.min(1, high + air) : high + air];
}

/**
 * A value that has a place on the axis, else null.
 * @param {number | null} value
 * @param {boolean} log
 */
export function drawable(value, log) {
  return value === null || (log && value <= 0) ? null : value;
}

/**
 * The corners of a line, as lists without gaps; where several points share half a pixel, its first, lowest, highest and last.
 * @param {Pick<Line, "x" | "y">} line
 * @param {(x: number) => number} toPixel
 * @param {Range} across
 * @param {boolean} log
 * @returns {[x: number, y: number][][]}
 */
export function reduced({ x, y }, toPixel, [x0, x1], log) {
  /** @type {{ at: number, first: number, low: number, high: number, last: number }[][]} columns of points, in pieces */
  const pieces = [[]];
  for (let i = Math.max(0, below(x, x0) - 1); i < x.length; i++) {
    const value = drawable(y[i], log);
    if (value === null) {
      pieces.push([]);
      continue;
    }
    const piece = pieces[pieces.length - 1];
    const column = piece.at(-1);
    const at = Math.round(toPixel(x[i]) * 2) / 2;
    if (column?.at === at) {
      column.low = Math.min(column.low, value);
      column.high = Math.max(column.high, value);
      column.last = value;
    } else piece.push({ at, first: value, low: value, high: value, last: value });
    if (x[i] > x1) break;
  }
  return pieces
    .filter((piece) => piece.length)
    .map((piece) =>
      piece.flatMap(({ at, first, low, high, last }) => {
        const values = low === high ? [first] : [first, low, high, last];
        return values.map((value) => /** @type {[number, number]} */ ([at, value]));
      }),
    );
}

/**
 * Debiased exponential moving average: early values are not pulled towards zero.
 * @param {(number | null)[]} values
 * @param {number} weight of what came before
 */
export function smoothed(values, weight) {
  let sum = 0;
  let mass = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return sum / mass;
  });
}

/**
 * Index of the first value not below `value` in a sorted list.
 * @param {number[]} sorted
 * @param {number} value
 */
export function below(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Index of the value nearest to `value` in a sorted list, the earlier of two.
 * @param {number[]} sorted
 * @param {number} value
 */
export function nearest(sorted, value) {
  const i = below(sorted, value);
  if (i === 0) return 0;
  if (i === sorted.length) return i - 1;
  return value - sorted[i - 1] <= sorted[i] - value ? i - 1 : i;
}

/**
 * Round numbers between two ends, about so many.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((n) => n * power >= rough) ?? 10);
  const result = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k++) result.push(Number((k * step).toPrecision(10)));
  return result;
}

/**
 * Ticks of a logarithmic axis.
 * @param {number} low
 * @param {number} high
 */
export function logTicks(low, high) {
  const result = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const n of [1, 2, 5]) {
      const value = n * 10 ** power;
      if (value >= low && value <= high) result.push(Number(value.toPrecision(3)));
    }
  }
  return result.length > 1 ? result : ticks(low, high, 4);
}

/**
 * A line in the legend, as a CSS background with the same dashes as in the chart.
 * @param {string} colour
 * @param {number[]} dash
 */
export function stripes(colour, dash) {
  if (!dash.length) return colour;
  let at = 0;
  const stops = dash.map((length, index) => {
    const from = at;
    at += length;
    return `${index % 2 ? "transparent" : colour} ${from}px ${at}px`;
  });
  return `repeating-linear-gradient(90deg, ${stops.join(", ")})`;
}

/**
 * A number on an axis.
 * @param {number} value
 */
export function short(value) {
  return Math.abs(value) >= 10000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(4)));
}

/**
 * A value that is read off.
 * @param {number | null | undefined} value
 * @param {Metric} metric
 */
export function formatValue(value, metric) {
  if (value === null || value === undefined) return "–";
  return metric === "accuracy" ? percent(value, 1) : value.toPrecision(3);
}
