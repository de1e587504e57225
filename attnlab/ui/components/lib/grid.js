// @ts-check
// Places on a picture, and cells of a grid of weights that fill a frame on it.

/** @typedef {{ u: number, v: number }} Place shares of the picture's width and height */
/** @typedef {readonly [height: number, width: number]} Grid */
/** @typedef {readonly [left: number, top: number, right: number, bottom: number]} Frame shares of the picture */
/** @typedef {{ row: number, column: number, index: number }} Cell index: in reading order */

/** @type {Place} */
export const MIDDLE = { u: 0.5, v: 0.5 };

/** The frame of a map that is stretched over the whole picture. @type {Frame} */
export const WHOLE = [0, 0, 1, 1];

/** Row and column steps of the arrow keys. @type {Record<string, [row: number, column: number]>} */
export const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/**
 * The cell that is nearest to a row and column.
 * @param {Grid} grid
 * @param {number} row
 * @param {number} column
 * @returns {Cell}
 */
export function cellOf([height, width], row, column) {
  const [y, x] = [clamp(row, 0, height - 1), clamp(column, 0, width - 1)];
  return { row: y, column: x, index: y * width + x };
}

/**
 * The cell at a place, or the nearest one.
 * @param {Grid} grid
 * @param {Place} place
 * @param {Frame} [frame]
 */
export function cellAt(grid, { u, v }, [left, top, right, bottom] = WHOLE) {
  return cellOf(grid, Math.floor(((v - top) / (bottom - top)) * grid[0]), Math.floor(((u - left) / (right - left)) * grid[1]));
}

/**
 * The middle of a cell.
 * @param {Grid} grid
 * @param {{ row: number, column: number }} cell
 * @param {Frame} [frame]
 * @returns {Place}
 */
export function middleOf([height, width], { row, column }, [left, top, right, bottom] = WHOLE) {
  return { u: left + ((column + 0.5) / width) * (right - left), v: top + ((row + 0.5) / height) * (bottom - top) };
}

/**
 * A frame on a canvas.
 * @param {Frame} frame
 * @param {number} wide of the canvas
 * @param {number} tall
 */
export function boxOf([left, top, right, bottom], wide, tall) {
  return { x: left * wide, y: top * tall, wide: (right - left) * wide, tall: (bottom - top) * tall };
}

/**
 * Where on an element the pointer is.
 * @param {{ clientX: number, clientY: number }} event
 * @param {Element} node
 * @returns {Place}
 */
export function placeOf(event, node) {
  const box = node.getBoundingClientRect();
  return {
    u: clamp((event.clientX - box.left) / box.width, 0, 0.9999),
    v: clamp((event.clientY - box.top) / box.height, 0, 0.9999),
  };
}

/** @param {{ row: number, column: number }} cell */
export function cellWords({ row, column }) {
  return `row ${row}, column ${column}`;
}
