// @ts-check
// Colour maps, and weights drawn with them.
import { fromBase64 } from "./base64.js";
import { newCanvas, opaque, pixelsOfRgb, putPixels } from "./canvas.js";
import { COLOUR_TABLES, DIVERGING } from "./colour_tables.js";

/** Names of the colour maps with what people read, the first one the default. @type {[name: string, title: string][]} */
export const COLOUR_MAPS = Object.entries(COLOUR_TABLES).map(([name, { title }]) => [name, title]);

/** The name of the colours of factors, which nobody chooses: they mean two sides. */
export const FACTOR_COLOURS = "diverging";

/** @typedef {{ pixels: Uint32Array, css: string[] }} Palette 256 packed pixels and 256 CSS colours */

/** @type {Map<string, Palette>} */
const palettes = new Map();

/** @param {string} name of a colour map, or `FACTOR_COLOURS` */
export function colourTable(name) {
  return name === FACTOR_COLOURS ? DIVERGING : COLOUR_TABLES[name];
}

/**
 * @param {string} name
 * @returns {Palette}
 */
export function palette(name) {
  const known = palettes.get(name);
  if (known) return known;
  const rgb = fromBase64(colourTable(name).rgb);
  const css = Array.from({ length: 256 }, (_, at) => `rgb(${rgb.slice(3 * at, 3 * at + 3).join(" ")})`);
  const colours = { pixels: pixelsOfRgb(rgb), css };
  palettes.set(name, colours);
  return colours;
}

/**
 * A colour map from left to right, as a CSS background.
 * @param {string} name
 */
export function gradient(name) {
  const { css } = palette(name);
  return `linear-gradient(to right, ${[0, 64, 128, 192, 255].map((at) => css[at]).join(", ")})`;
}

/**
 * Values as levels 0 to 255 between two ends.
 * @param {ArrayLike<number>} values
 * @param {number} low
 * @param {number} high
 */
export function levelsOf(values, low, high) {
  const factor = high > low ? 255 / (high - low) : 0;
  const levels = new Uint8ClampedArray(values.length);
  for (let i = 0; i < values.length; i++) levels[i] = (values[i] - low) * factor;
  return levels;
}

/**
 * A map in colours, one pixel per weight.
 * @param {ArrayLike<number>} weights
 * @param {readonly [height: number, width: number]} grid
 * @param {readonly [low: number, high: number]} ends of the colour scale
 * @param {string} name of the colour map
 */
export function mapCanvas(weights, [height, width], [low, high], name) {
  const { pixels } = palette(name);
  const coloured = Uint32Array.from(levelsOf(weights, low, high), (level) => pixels[level]);
  return putPixels(newCanvas(width, height), coloured, height, width);
}

/**
 * Red, green and blue of a colour written #rrggbb; null for any other text.
 * @param {string} colour
 */
function channelsOf(colour) {
  const parts = /^#(..)(..)(..)/.exec(colour);
  return parts && parts.slice(1).map((part) => parseInt(part, 16));
}

/**
 * Whether a colour written #rrggbb is dark.
 * @param {string} colour
 */
export function isDark(colour) {
  const channels = channelsOf(colour);
  return channels !== null && 0.299 * channels[0] + 0.587 * channels[1] + 0.114 * channels[2] < 128;
}

/**
 * Any CSS colour as a packed pixel.
 * @param {CanvasRenderingContext2D} context which reads it
 * @param {string} colour
 */
export function packedColour(context, colour) {
  context.fillStyle = colour;
  const [red, green, blue] = channelsOf(String(context.fillStyle)) ?? [0x88, 0x88, 0x88];
  return opaque(red, green, blue);
}
