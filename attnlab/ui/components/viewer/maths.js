// @ts-check
// Arithmetic on weights. Row r of a layer at moment t: weight = floor + code / 255 * (peak - floor).
import { SOFTMAX_TOP } from "../lib/colour_tables.js";
import { cellAt } from "../lib/grid.js";
import { cappedExtent, extent } from "../lib/numbers.js";

/** @import { Frame } from "../lib/grid.js" */
/** @import { Layer } from "./payload.js" */

/**
 * Weights of one row.
 * @param {Layer} layer
 * @param {number} moment
 * @param {number} row
 */
export function rowWeights(layer, moment, row) {
  const { length } = layer;
  const at = moment * layer.rows + row;
  const floor = layer.floor[at];
  const unit = (layer.peak[at] - floor) / 255;
  const result = new Float32Array(length);
  for (let i = 0, from = at * length; i < length; i++) result[i] = floor + layer.codes[from + i] * unit;
  return result;
}

/**
 * Weights that one position gets from every row: for pairwise maps, the attention received by this key.
 * @param {Layer} layer
 * @param {number} moment
 * @param {number} column
 */
export function columnWeights(layer, moment, column) {
  const result = new Float32Array(layer.rows);
  for (let row = 0; row < layer.rows; row++) {
    const at = moment * layer.rows + row;
    const code = layer.codes[at * layer.length + column];
    result[row] = layer.floor[at] + (code / 255) * (layer.peak[at] - layer.floor[at]);
  }
  return result;
}

/**
 * Mean of several rows.
 * @param {Layer} layer
 * @param {number} moment
 * @param {number[]} rows
 */
export function meanWeights(layer, moment, rows) {
  const result = new Float32Array(layer.length);
  for (const row of rows) {
    const at = moment * layer.rows + row;
    const floor = layer.floor[at];
    const unit = (layer.peak[at] - floor) / 255;
    for (let i = 0, from = at * layer.length; i < layer.length; i++) result[i] += floor + layer.codes[from + i] * unit;
  }
  for (let i = 0; i < layer.length; i++) result[i] /= rows.length;
  return result;
}

/**
 * Mean weight of every row: of every channel of an element map.
 * @param {Layer} layer
 * @param {number} moment
 */
export function rowMeans(layer, moment) {
  const result = new Float32Array(layer.rows);
  for (let row = 0; row < layer.rows; row++) {
    const at = moment * layer.rows + row;
    let sum = 0;
    for (let i = 0, from = at * layer.length; i < layer.length; i++) sum += layer.codes[from + i];
    result[row] = layer.floor[at] + (sum / layer.length / 255) * (layer.peak[at] - layer.floor[at]);
  }
  return result;
}

/**
 * Entropy of weights as a distribution over positions, over the greatest possible: 1 is uniform, 0 a single position.
 * @param {Float32Array} weights
 */
export function entropy(weights) {
  let sum = 0;
  for (const weight of weights) sum += weight;
  if (!(sum > 0) || weights.length < 2) return weights.length < 2 ? 0 : 1;
  let total = 0;
  for (const weight of weights) if (weight > 0) total -= (weight / sum) * Math.log(weight / sum);
  return total / Math.log(weights.length);
}

/**
 * Entropy of every row of a layer.
 * @param {Layer} layer
 * @param {number} moment
 */
export function entropyMap(layer, moment) {
  return Float32Array.from({ length: layer.rows }, (_, row) => entropy(rowWeights(layer, moment, row)));
}

/**
 * Quantile with straight lines between order statistics, as numpy's default.
 * @param {ArrayLike<number>} values
 * @param {number} share
 */
export function quantile(values, share) {
  const sorted = Float32Array.from(values).sort();
  const at = Math.min(Math.max(share, 0), 1) * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

/** @type {WeakMap<Layer, [low: number, high: number][]>} by moment: read again for each frame */
const knownExtents = new WeakMap();

/**
 * Both ends of a colour scale over a layer at some moments: its least weight and its greatest, see `cappedExtent` for softmax.
 * @param {Layer} layer
 * @param {number[]} moments
 * @returns {[low: number, high: number]}
 */
export function layerExtent(layer, moments) {
  const known = knownExtents.get(layer) ?? [];
  knownExtents.set(layer, known);
  for (const moment of moments) known[moment] ??= momentExtent(layer, moment);
  return extent(moments.flatMap((moment) => known[moment]));
}

/**
 * @param {Layer} layer
 * @param {number} moment
 */
function momentExtent(layer, moment) {
  const [from, to] = [moment * layer.rows, (moment + 1) * layer.rows];
  const ends = [...layer.floor.subarray(from, to), ...layer.peak.subarray(from, to)];
  if (layer.scale !== "softmax") return extent(ends);
  return cappedExtent(layer.rows === 1 ? rowWeights(layer, moment, 0) : ends, SOFTMAX_TOP / layer.length);
}

/**
 * Bilinear between pixel centres, edges held.
 * @param {Float32Array} values
 * @param {number} height
 * @param {number} width
 * @param {number} tall
 * @param {number} wide
 */
export function upsample(values, height, width, tall, wide) {
  const result = new Float32Array(tall * wide);
  const left = new Int32Array(wide);
  const right = new Int32Array(wide);
  const across = new Float32Array(wide);
  for (let x = 0; x < wide; x++) {
    const at = Math.min(Math.max(((x + 0.5) * width) / wide - 0.5, 0), width - 1);
    left[x] = Math.floor(at);
    right[x] = Math.min(left[x] + 1, width - 1);
    across[x] = at - left[x];
  }
  for (let y = 0, out = 0; y < tall; y++) {
    const at = Math.min(Math.max(((y + 0.5) * height) / tall - 0.5, 0), height - 1);
    const top = Math.floor(at);
    const down = at - top;
    const upper = top * width;
    const lower = Math.min(top + 1, height - 1) * width;
    for (let x = 0; x < wide; x++, out++) {
      const a = values[upper + left[x]] + (values[upper + right[x]] - values[upper + left[x]]) * across[x];
      const b = values[lower + left[x]] + (values[lower + right[x]] - values[lower + left[x]]) * across[x];
      result[out] = a + (b - a) * down;
    }
  }
  return result;
}

/**
 * Lines where values cross a level (marching squares), as [x0, y0, x1, y1, ...] in shares of the picture.
 * @param {ArrayLike<number>} values
 * @param {number} height
 * @param {number} width
 * @param {number} level
 */
export function contourLines(values, height, width, level) {
  /** @type {number[]} */
  const lines = [];
  /** @type {(edge: number, x: number, y: number, a: number, b: number, c: number, d: number) => void} */
  const point = (edge, x, y, a, b, c, d) => {
    const cut = (/** @type {number} */ from, /** @type {number} */ to) => (level - from) / (to - from);
    if (edge === 0) lines.push((x + 0.5 + cut(a, b)) / width, (y + 0.5) / height);
    else if (edge === 1) lines.push((x + 1.5) / width, (y + 0.5 + cut(b, c)) / height);
    else if (edge === 2) lines.push((x + 0.5 + cut(d, c)) / width, (y + 1.5) / height);
    else lines.push((x + 0.5) / width, (y + 0.5 + cut(a, d)) / height);
  };
  for (let y = 0; y + 1 < height; y++) {
    for (let x = 0; x + 1 < width; x++) {
      const at = y * width + x;
      const a = values[at];
      const b = values[at + 1];
      const c = values[at + width + 1];
      const d = values[at + width];
      const corners = (a >= level ? 8 : 0) | (b >= level ? 4 : 0) | (c >= level ? 2 : 0) | (d >= level ? 1 : 0);
      for (const edge of CROSSED[corners]) point(edge, x, y, a, b, c, d);
    }
  }
  return lines;
}

// Edges (0 top, 1 right, 2 bottom, 3 left) crossed for each set of corners (8 top left, then clockwise) that are inside.
const CROSSED = [
  [], [2, 3], [1, 2], [1, 3], [0, 1], [0, 1, 2, 3], [0, 2], [0, 3],
  [0, 3], [0, 2], [0, 3, 1, 2], [0, 1], [1, 3], [1, 2], [2, 3], [],
];

/**
 * Share of a map's weight on a mask, and the mask's share of the picture. Their ratio is 1 for a uniform map.
 * @param {ArrayLike<number>} values
 * @param {number} height
 * @param {number} width
 * @param {Uint8Array} mask (tall, wide)
 * @param {number} tall
 * @param {number} wide
 * @param {Frame} [frame] that the values fill; pixels outside have the weight of the nearest cell
 */
export function weightInside(values, height, width, mask, tall, wide, frame) {
  let inside = 0;
  let total = 0;
  let area = 0;
  for (let y = 0; y < tall; y++) {
    for (let x = 0; x < wide; x++) {
      const value = values[cellAt([height, width], { u: (x + 0.5) / wide, v: (y + 0.5) / tall }, frame).index];
      total += value;
      if (mask[y * wide + x]) {
        inside += value;
        area++;
      }
    }
  }
  return { weight: total > 0 ? inside / total : 0, area: area / (tall * wide) };
}

/**
 * Which of 256 colours each of 256 levels gets: gamma bends, what lies below the cut is hidden (-1). Of two sides, each is
 * counted from the middle.
 * @param {number} gamma
 * @param {number} cut
 * @param {boolean} [sides]
 */
export function colourIndex(gamma, cut, sides = false) {
  return Int16Array.from({ length: 256 }, (_, level) => {
    const share = level / 255;
    if (sides) {
      const away = Math.abs(2 * share - 1);
      return away < cut ? -1 : Math.round(127.5 * (1 + Math.sign(share - 0.5) * away ** gamma));
    }
    return share < cut ? -1 : Math.round(255 * share ** gamma);
  });
}

/**
 * The classes shown as bars: the most probable ones at the end, and the true one.
 * @param {ArrayLike<number>[]} rows
 * @param {number} count
 * @param {number | null} truth
 */
export function shownClasses(rows, count, truth) {
  const last = rows[rows.length - 1];
  const order = Array.from(last, (_, index) => index).sort((a, b) => last[b] - last[a]);
  const shown = order.slice(0, count);
  if (truth !== null && !shown.includes(truth)) shown[shown.length - 1] = truth;
  return shown;
}

/**
 * Half a step between two codes, the largest among these rows: weights are known to this.
 * @param {Layer} layer
 * @param {number} moment
 * @param {number[] | null} rows all of them when null
 */
export function precisionOf(layer, moment, rows) {
  let span = 0;
  const take = (/** @type {number} */ row) => {
    const at = moment * layer.rows + row;
    span = Math.max(span, layer.peak[at] - layer.floor[at]);
  };
  if (rows) rows.forEach(take);
  else for (let row = 0; row < layer.rows; row++) take(row);
  return span / 510;
}

