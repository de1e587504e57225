// @ts-check
// The features behind a map, X', beside those the network made: their strongest channels, one small picture each.
import { putPixels } from "../lib/canvas.js";
import { levelsOf, palette } from "../lib/colours.js";
import { element, setText } from "../lib/dom.js";

const SHOWN = 8;
const COLOURS = "viridis";
const GAP = 1; // between the pictures, in cells

/**
 * The channels with the largest mean size, the strongest first.
 * @param {Float32Array} features channel by channel
 * @param {number} channels
 * @returns {number[]} at most `SHOWN`
 */
export function strongest(features, channels) {
  const area = features.length / channels;
  const sums = Array.from({ length: channels }, (_, channel) => {
    let sum = 0;
    for (let at = channel * area; at < (channel + 1) * area; at++) sum += Math.abs(features[at]);
    return sum;
  });
  const order = sums.map((_, channel) => channel).sort((a, b) => sums[b] - sums[a] || a - b);
  return order.slice(0, SHOWN);
}

/** How much of the features' size is left, 1 for all. @param {Float32Array} before @param {Float32Array} after */
export function shareLeft(before, after) {
  const size = (/** @type {Float32Array} */ values) => values.reduce((sum, value) => sum + Math.abs(value), 0);
  return size(before) ? size(after) / size(before) : 1;
}

export class FeatureStrip {
  constructor() {
    this.root = element("figure", "features");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.caption = element("figcaption");
    this.root.append(this.canvas, this.caption);
  }

  /**
   * @param {readonly [number, number, number]} shape channels, height, width
   * @param {Float32Array} before
   * @param {Float32Array} after
   */
  show([channels, height, width], before, after) {
    const shown = strongest(before, channels);
    const [area, across] = [height * width, width + GAP];
    const [tall, wide] = [2 * height + GAP, shown.length * across - GAP];
    const packed = new Uint32Array(tall * wide);
    const { pixels } = palette(COLOURS);
    shown.forEach((channel, column) => {
      const [own, changed] = [before, after].map((features) => features.subarray(channel * area, (channel + 1) * area).map(Math.abs));
      const top = own.reduce((most, value) => Math.max(most, value), 0);
      [own, changed].forEach((sizes, row) => {
        levelsOf(sizes, 0, top).forEach((level, at) => {
          packed[(row * (height + GAP) + Math.floor(at / width)) * wide + column * across + (at % width)] = pixels[level];
        });
      });
    });
    putPixels(this.canvas, packed, tall, wide);
    const names = shown.map((channel) => channel + 1).join(", ");
    const left = `${Math.round(100 * shareLeft(before, after))} %`;
    const said = `Features after this map: ${left} of their original size.`;
    this.canvas.setAttribute("aria-label", `Channels ${names} of the features, before and after the operation. ${said}`);
    setText(this.caption, `${said} Above: the ${shown.length} strongest of ${channels} channels as the network made them. Below: after the operation.`);
  }
}
