// @ts-check
// Marks on the picture, in black and white so that they are seen on every colour.
import { strokeTwice } from "../lib/canvas.js";
import { boxOf, middleOf } from "../lib/grid.js";

/** @import { Cell, Frame, Grid, Place } from "../lib/grid.js" */

const SMALLEST_BOX = 7; // pixels; small cells get a box that can be seen

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Cell} cell
 * @param {Grid} grid
 * @param {Frame} frame
 */
export function markCell(context, cell, grid, frame) {
  const { width, height } = context.canvas;
  const map = boxOf(frame, width, height);
  const wide = Math.max(map.wide / grid[1], SMALLEST_BOX);
  const tall = Math.max(map.tall / grid[0], SMALLEST_BOX);
  const { u, v } = middleOf(grid, cell, frame);
  const box = new Path2D();
  box.rect(u * width - wide / 2, v * height - tall / 2, wide, tall);
  strokeTwice(context, box, 4, 2);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Place} place
 */
export function markCross(context, { u, v }) {
  const [x, y, reach] = [u * context.canvas.width, v * context.canvas.height, 9];
  const cross = new Path2D();
  cross.moveTo(x - reach, y);
  cross.lineTo(x + reach, y);
  cross.moveTo(x, y - reach);
  cross.lineTo(x, y + reach);
  strokeTwice(context, cross, 4, 1.5);
}
