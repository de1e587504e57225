// @ts-check
// The map of a tap as one picture to paint on: which of the maps, its weights in rows, and where they lie.

/** @import { Frame, Grid } from "../lib/grid.js" */
/** @import { Tap } from "../network/network.js" */
import { tapOf, withoutUse } from "../network/operations.js";

/** Whether a map says where: its weights belong to positions of the picture. @param {Tap} tap */
export function isPlaced({ kind }) {
  return kind !== "channel" && kind !== "branch";
}

/**
 * Whether an operation acts on a map: one of the chosen taps or heads, of a kind that it changes.
 * @param {Tap} tap
 * @param {readonly string[]} kinds
 * @param {readonly string[] | null} chosen
 */
export function isChanged({ name, kind }, kinds, chosen) {
  return kinds.includes(kind) && (!chosen || chosen.includes(tapOf(name)) || chosen.includes(withoutUse(name)));
}

/**
 * The map to show: of those that are changed, the one with the most positions.
 * @param {readonly Tap[]} taps
 * @param {readonly string[]} kinds
 * @param {readonly string[] | null} chosen
 * @returns {number} its index; -1 where there is none
 */
export function shownTap(taps, kinds, chosen) {
  let [best, most] = [-1, -1];
  taps.forEach((tap, index) => {
    if (!isChanged(tap, kinds, chosen)) return;
    const [height, width] = gridOf(tap);
    const positions = isPlaced(tap) ? height * width : height * width * 1e-6;
    if (positions > most) [best, most] = [index, positions];
  });
  return best;
}

/**
 * Rows and columns of the picture of a map. Gates of channels are laid in rows of equal length; branches are rows, their channels columns.
 * @param {Tap} tap
 * @returns {Grid}
 */
export function gridOf({ kind, shape, grid }) {
  if (kind === "branch") return [shape[0], shape[1]];
  if (kind === "pairwise") return grid;
  if (kind !== "channel") return [shape[1], shape[2]];
  let rows = Math.floor(Math.sqrt(shape[0]));
  while (shape[0] % rows) rows--;
  return [rows, shape[0] / rows];
}

/**
 * The weights as the picture shows them: the mean over channels, of pairs the attention that each position receives; softmax
 * weights in units of the uniform one.
 * @param {Tap} tap
 * @param {Float32Array} weights
 * @returns {Float32Array} in reading order of `gridOf`
 */
export function fieldOf(tap, weights) {
  const grid = gridOf(tap);
  const n = grid[0] * grid[1];
  const values = new Float32Array(n);
  if (tap.kind === "pairwise") {
    const keys = tap.shape[1];
    const queries = tap.queries ? tap.queries[0] * tap.queries[1] : tap.shape[0];
    for (let row = tap.shape[0] - queries; row < tap.shape[0]; row++) {
      for (let at = 0; at < n; at++) values[at] += weights[row * keys + tap.prefix + at] / queries;
    }
  } else {
    const planes = weights.length / n;
    for (let at = 0; at < weights.length; at++) values[at % n] += weights[at] / planes;
  }
  if (tap.scale === "softmax") {
    const shared = tap.kind === "branch" ? grid[0] : n;
    for (let at = 0; at < n; at++) values[at] *= shared;
  }
  return values;
}

/**
 * The part of the picture that the cells of a map fill.
 * @param {Tap} tap
 * @param {readonly number[]} shape of the picture: channels, height, width
 * @returns {Frame}
 */
export function frameOf(tap, [, height, width]) {
  if (!tap.cells || !isPlaced(tap)) return [0, 0, 1, 1];
  const [rows, columns] = gridOf(tap);
  const [[top, down], [left, across]] = tap.cells;
  const ends = (/** @type {number} */ start, /** @type {number} */ step, /** @type {number} */ count, /** @type {number} */ side) => [
    (start - step / 2) / side,
    (start + step * (count - 0.5)) / side,
  ];
  const [[y, bottom], [x, right]] = [ends(top, down, rows, height), ends(left, across, columns, width)];
  return [x, y, right, bottom];
}
