// @ts-check
// What a card says in words: the value that is pointed at, and facts about the whole map.
import { cellAt, cellWords } from "../lib/grid.js";
import { formatNumber } from "../lib/numbers.js";
import { sharesInWords } from "./branches.js";
import { isAbove, isBelow, valueWords } from "./field.js";
import { entropy, weightInside } from "./maths.js";

/** @import { Card } from "./card.js" */
/** @import { Layer } from "./payload.js" */

/**
 * The value under the cross-hair, or of the marked channel; empty where nothing is pointed at.
 * @param {Card} card
 */
export function readoutWords(card) {
  const { layer, field, viewer, gates } = card;
  if (!layer) return "";
  const channel = viewer.hoverChannel === null ? null : card.strip.marked();
  if (channel !== null && gates) {
    if (layer.kind === "branch") return `channel ${channel} of ${gates.length} · ${sharesInWords(layer, card.shownMoment, channel)}`;
    const value = gates[channel];
    const rank = gates.reduce((count, gate) => count + Number(gate > value), 1);
    const words = valueWords(layer, null, value, card.precision());
    const { features } = layer;
    const colours = features
      ? ` · features from ${formatNumber(features.floor[channel])} (black) to ${formatNumber(features.peak[channel])} (white)`
      : "";
    return `channel ${channel} of ${gates.length} · ${layer.kind === "element" ? `mean ${words}` : words} · rank ${rank}${colours}`;
  }
  if (!viewer.cursor || !field) return "";
  const { u, v } = viewer.cursor;
  const [left, top, right, bottom] = field.frame;
  const outside = u < left || u > right || v < top || v > bottom;
  const cell = cellAt([field.height, field.width], viewer.cursor, field.frame);
  const value = card.values[cell.index];
  const [low, high] = card.ends;
  const above = isAbove(value, high) ? ` · above the colour scale, which ends at ${formatNumber(high)}` : "";
  const below = isBelow(value, low) ? ` · below the colour scale, which begins at ${formatNumber(low)}` : "";
  return `${outside ? "nearest: " : ""}${cellWords(cell)} · ${valueWords(layer, field, value, card.precision())}${above}${below}`;
}

/**
 * Facts about the map of a card.
 * @param {Card} card
 */
export function factsOf(card) {
  const { layer, field, panel, values, viewer } = card;
  if (layer?.kind === "branch") return [`${layer.rows} channels, ${layer.length} branches whose shares sum to 1 in each channel`];
  const [low, high] = card.extent();
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const facts = [`min ${formatNumber(low)}`, `mean ${formatNumber(mean)}`, `max ${formatNumber(high)}`];
  if (layer?.scale === "softmax" && !field?.entropy) facts.push(`entropy ${formatNumber(entropy(values))}`);
  if (panel.mask && field && !field.entropy && layer?.scale !== "factor") {
    const { weight, area } = weightInside(values, field.height, field.width, panel.mask, panel.height, panel.width, field.frame);
    if (area > 0) facts.push(`average weight on the object: ${formatNumber(weight / area)}× the image mean`);
  }
  if (layer && field) facts.push(...placeFacts(layer, viewer.state.stretch));
  return facts;
}

/**
 * How much of the picture a cell sees; for a stretched map how far that puts its cells off.
 * @param {Layer} layer
 * @param {boolean} stretch
 */
function placeFacts({ field, frame, grid, picture }, stretch) {
  if (!field || !frame) return [];
  if (!stretch) return [`each cell sees ${field[0]} × ${field[1]} pixels`];
  const off = Math.max(...[0, 1].flatMap((axis) => [0, grid[axis] - 1].map((cell) => shift(cell, grid[axis], picture[axis], frame[1 - axis], frame[3 - axis]))));
  return [`stretched evenly: cells are drawn up to ${formatNumber(off)} pixels from where they lie`];
}

/**
 * How far a stretched cell is drawn from its place, in pixels.
 * @param {number} cell
 * @param {number} count
 * @param {number} length of the picture
 * @param {number} low
 * @param {number} high
 */
function shift(cell, count, length, low, high) {
  const share = (cell + 0.5) / count;
  return Math.abs(low + share * (high - low) - share) * length;
}
