// @ts-check
// The cells of a map that are painted or erased.
import { clamp } from "../lib/grid.js";

/** @import { Cell, Grid } from "../lib/grid.js" */

export const LEFT_ALONE = 0;
export const PAINTED = 1;
export const ERASED = 2;

const MOST_STEPS_BACK = 50;
const LARGEST_BRUSH = 9;

/** @typedef {{ top: number, bottom: number, left: number, right: number }} Box of cells, without its last row and column */

/**
 * The cells under a square brush, which may reach over the edge of the map.
 * @param {{ row: number, column: number }} cell
 * @param {number} size of the brush in cells
 * @returns {Box}
 */
export function brushBox({ row, column }, size) {
  const reach = Math.floor((size - 1) / 2);
  return { top: row - reach, bottom: row - reach + size, left: column - reach, right: column - reach + size };
}

export class Painting {
  /**
   * @param {Grid} grid
   * @param {Uint8Array} [cells] one of the three values for each cell, in reading order
   */
  constructor(grid, cells = new Uint8Array(grid[0] * grid[1])) {
    this.grid = grid;
    this.cells = cells;
    this.size = 3; // of the brush
    this.mode = PAINTED;
    /** @type {Uint8Array[]} */
    this.history = [];
  }

  get isEmpty() {
    return this.cells.every((cell) => cell === LEFT_ALONE);
  }

  /** @param {number} size */
  resize(size) {
    this.size = clamp(size, 1, LARGEST_BRUSH);
  }

  /** What `undo` goes back to; called once before each stroke. */
  remember() {
    this.history.push(this.cells.slice());
    if (this.history.length > MOST_STEPS_BACK) this.history.shift();
  }

  /**
   * The brush on each cell of a straight line.
   * @param {Cell} from
   * @param {Cell} to
   */
  stroke(from, to) {
    const [height, width] = this.grid;
    const steps = Math.max(Math.abs(to.row - from.row), Math.abs(to.column - from.column), 1);
    const between = (/** @type {number} */ first, /** @type {number} */ last, /** @type {number} */ step) =>
      Math.round(first + ((last - first) * step) / steps);
    for (let step = 0; step <= steps; step++) {
      const cell = { row: between(from.row, to.row, step), column: between(from.column, to.column, step) };
      const { top, bottom, left, right } = brushBox(cell, this.size);
      for (let row = Math.max(0, top); row < Math.min(height, bottom); row++) {
        this.cells.fill(this.mode, row * width + Math.max(0, left), row * width + Math.min(width, right));
      }
    }
  }

  /** @returns whether there was a stroke to take back */
  undo() {
    const cells = this.history.pop();
    if (cells) this.cells = cells;
    return cells !== undefined;
  }

  clear() {
    this.remember();
    this.cells = new Uint8Array(this.cells.length);
  }
}
