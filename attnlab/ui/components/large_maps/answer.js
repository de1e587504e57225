// @ts-check
// What the wire brings: one row or column of a map. It travels as float16 shares of its greatest weight.
import { fromBase64 } from "../lib/base64.js";
import { extent } from "../lib/numbers.js";

/** @import { Grid } from "../lib/grid.js" */

/** @typedef {{ layer: number, row: number, col: number, column: boolean, head: number }} Question head: -1 for the mean of all */
/** @typedef {{ layer: number, place: [row: number, col: number], column: boolean, head: number | null, peak: number, shares: string }} Answer */

/**
 * @typedef {object} Weights
 * @property {Float32Array} weights relative to uniform attention
 * @property {Grid} grid
 * @property {number} best index of the greatest one
 * @property {number} low
 * @property {number} high
 */

/**
 * @param {Pick<Answer, "peak" | "shares">} answer
 * @param {Grid} grid
 * @returns {Weights}
 */
export function readAnswer({ peak, shares }, grid) {
  const bytes = fromBase64(shares);
  const halves = new DataView(bytes.buffer);
  const weights = Float32Array.from({ length: bytes.length / 2 }, (_, at) => peak * fromHalf(halves.getUint16(2 * at, true)));
  const [low, high] = extent(weights);
  return { weights, grid, best: weights.indexOf(high), low, high };
}

/**
 * A finite float16 that is not negative, from its bits: browsers without Float16Array are still in use.
 * @param {number} bits
 */
export function fromHalf(bits) {
  const exponent = bits >> 10;
  const fraction = bits & 1023;
  return exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
}

/**
 * Names a question, so that its answer is found again.
 * @param {Question} question
 */
export function nameOf({ layer, row, col, column, head }) {
  return [layer, row, col, column, head].join();
}

/**
 * The question that an answer belongs to.
 * @param {Answer} answer
 * @returns {Question}
 */
export function questionOf({ layer, place, column, head }) {
  return { layer, row: place[0], col: place[1], column, head: head ?? -1 };
}

/** @param {number} weight */
export function timesUniform(weight) {
  return `${weight.toFixed(weight >= 10 ? 1 : 2)}× uniform`;
}
