// @ts-check
// The strip of a card, one bar per channel.
//
// Bars are written as pixels: 512 filled rectangles of 200 colours cost more than a whole frame may take.
import { contextOf, newCanvas, putPixels, sharpContext } from "../lib/canvas.js";
import { packedColour, palette } from "../lib/colours.js";
import { element } from "../lib/dom.js";
import { clamp } from "../lib/grid.js";
import { Latest } from "../lib/latest.js";
import { branchLevel, isStacked } from "./branches.js";
import { centreOf } from "./field.js";
import { rowWeights } from "./maths.js";

/** @import { Card } from "./card.js" */
/** @import { Layer } from "./payload.js" */

const GAP = 7;

/** @typedef {{ count: number, rows: number, perRow: number, step: number, tall: number, height: number }} StripPlan */

/**
 * Where each channel's bar lies: rows of bars at least five pixels wide.
 * @param {number} count
 * @param {number} wide
 * @returns {StripPlan}
 */
export function stripPlan(count, wide) {
  const rows = Math.ceil(count / Math.max(1, Math.min(count, Math.floor(wide / 5))));
  const perRow = Math.ceil(count / rows);
  const tall = rows === 1 ? 84 : rows <= 3 ? 52 : 30;
  return { count, rows, perRow, step: wide / perRow, tall, height: rows * (tall + GAP) };
}

/**
 * The place, in the order shown, of the bar at a point of the strip.
 * @param {StripPlan} plan
 * @param {number} x
 * @param {number} y
 */
export function barAt(plan, x, y) {
  const row = clamp(Math.floor(y / (plan.tall + GAP)), 0, plan.rows - 1);
  const slot = clamp(Math.floor(x / plan.step), 0, plan.perRow - 1);
  return Math.min(row * plan.perRow + slot, plan.count - 1);
}

/**
 * The shares of one channel on top of each other, the first branch lowest; each bar is covered by those below it.
 * @param {Layer} layer
 * @param {number} moment
 * @param {number} channel
 * @param {Uint32Array} pixels
 */
export function stackOf(layer, moment, channel, pixels) {
  let total = 0;
  const bars = Array.from(rowWeights(layer, moment, channel), (weight, branch) => {
    total += weight;
    return { share: Math.min(total, 1), colour: pixels[branchLevel(branch, layer.length)] };
  });
  return bars.reverse();
}

/** Channels of one card: gates, the means of an element map's channels, or the shares of branches. */
export class ChannelStrip {
  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    this.canvas = element("canvas", "strip");
    this.drawn = "";
    this.barsCanvas = newCanvas(0, 0);
    /** @type {Latest<number[]>} */
    this.order = new Latest();
    /** @type {Latest<HTMLCanvasElement>} */
    this.bars = new Latest();
  }

  /** Weights by channel; empty where the map has no channels. */
  get gates() {
    return this.card.gates ?? new Float32Array();
  }

  /** Channels in the order they are shown; null for their own order. */
  shownOrder() {
    const { gates, card } = this;
    if (!card.viewer.state.sorted) return null;
    return this.order.get(card.key, () => Array.from(gates, (_, channel) => channel).sort((a, b) => gates[b] - gates[a]));
  }

  draw() {
    const { canvas, card } = this;
    canvas.hidden = !card.gates;
    if (!card.gates || !card.sideWidth) return;
    const key = `${this.look()}:${card.sideWidth}:${this.marked()}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const { height } = stripPlan(this.gates.length, card.sideWidth);
    if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
    const context = sharpContext(canvas, card.sideWidth, height, 2);
    this.paint(context, card.sideWidth, canvas.width / card.sideWidth);
  }

  /** All that the bars themselves depend on, but for their size. */
  look() {
    const { card } = this;
    const { state, look } = card.viewer;
    return `${card.key}:${card.bend}:${card.ends}:${card.colours}:${state.sorted}:${look}`;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide in logical pixels
   * @param {number} ratio device pixels to a logical one
   */
  paint(context, wide, ratio) {
    const plan = stripPlan(this.gates.length, wide);
    const { theme } = this.card.viewer;
    const order = this.shownOrder();
    const marked = this.marked();
    const half = marked === null ? 0 : Math.floor((this.card.layer?.window ?? 0) / 2);
    for (let row = 0; row < plan.rows; row++) {
      const bottom = row * (plan.tall + GAP) + plan.tall;
      context.fillStyle = theme.border;
      context.fillRect(0, bottom, wide, 1);
      context.globalAlpha = 0.5;
      context.fillRect(0, bottom - plan.tall / 2, wide, 0.5);
      context.globalAlpha = 1;
    }
    /** @type {(channel: number) => [x: number, y: number]} */
    const cornerOf = (channel) => {
      const place = order ? order.indexOf(channel) : channel;
      const row = Math.floor(place / plan.perRow);
      return [(place - row * plan.perRow) * plan.step, row * (plan.tall + GAP)];
    };
    if (half && marked !== null) {
      // the channels whose means decide the marked gate
      context.fillStyle = theme.window;
      for (let channel = Math.max(0, marked - half); channel <= Math.min(plan.count - 1, marked + half); channel++) {
        context.fillRect(...cornerOf(channel), plan.step, plan.tall);
      }
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(this.paintBars(plan, wide, ratio, order), 0, 0, wide, plan.height);
    if (marked === null) return;
    const [x, y] = cornerOf(marked);
    context.lineWidth = 1.5;
    context.strokeStyle = theme.text;
    context.strokeRect(x + 0.5, y + 0.5, plan.step - 1, plan.tall);
  }

  /**
   * The bars alone, on a canvas that is kept while they stay as they are.
   * @param {StripPlan} plan
   * @param {number} wide
   * @param {number} ratio
   * @param {number[] | null} order
   */
  paintBars(plan, wide, ratio, order) {
    const width = Math.round(wide * ratio);
    const height = Math.round(plan.height * ratio);
    return this.bars.get(`${this.look()}:${width}:${height}`, () => {
      const { gates, card } = this;
      const { pixels } = palette(card.colours);
      const hidden = packedColour(contextOf(this.barsCanvas), card.viewer.theme.hidden);
      const out = new Uint32Array(width * height);
      const [low, high] = card.ends;
      const inset = plan.step > 4 ? 0.5 : 0;
      const middle = card.layer && centreOf(card.layer) !== null ? 0.5 : 0; // of the scale of factors, from which bars grow up or down
      /** @type {(channel: number) => { share: number, colour: number }[]} from the tallest to the lowest, which covers it */
      const barsOf = (channel) => {
        if (card.layer && isStacked(card.layer)) return stackOf(card.layer, card.shownMoment, channel, pixels);
        const share = high > low ? clamp((gates[channel] - low) / (high - low), 0, 1) : 0;
        const index = card.index[Math.round(share * 255)];
        return [{ share, colour: index < 0 ? hidden : pixels[index] }];
      };
      for (let place = 0; place < plan.count; place++) {
        const row = Math.floor(place / plan.perRow);
        const left = (place - row * plan.perRow) * plan.step;
        const bottom = row * (plan.tall + GAP) + plan.tall;
        const from = Math.round((left + inset) * ratio);
        const to = Math.min(Math.max(Math.round((left + plan.step - inset) * ratio), from + 1), width);
        const end = Math.min(Math.round(bottom * ratio), height);
        for (const { share, colour } of barsOf(order ? order[place] : place)) {
          const high = Math.max(share, middle) * plan.tall;
          const first = Math.round((bottom - Math.max(1.5, high)) * ratio);
          const last = Math.min(end, Math.max(Math.round((bottom - Math.min(share, middle) * plan.tall) * ratio), first + Math.ceil(ratio)));
          for (let y = first; y < last; y++) {
            for (let at = y * width + from; at < y * width + to; at++) out[at] = colour;
          }
        }
      }
      return putPixels(this.barsCanvas, out, height, width);
    });
  }

  /** The channel under the pointer, else the one that is picked. */
  marked() {
    const { layer, viewer } = this.card;
    const channel = viewer.hoverChannel ?? (layer?.kind === "element" ? viewer.state.channel : null);
    return channel === null ? null : Math.min(channel, this.gates.length - 1);
  }

  /**
   * The channel at a point of the strip.
   * @param {number} x
   * @param {number} y
   */
  channelAt(x, y) {
    if (!this.card.gates) return null;
    const place = barAt(stripPlan(this.gates.length, this.card.sideWidth), x, y);
    return this.shownOrder()?.[place] ?? place;
  }

  /**
   * The channel some places further, in the order they are shown.
   * @param {number} channel
   * @param {number} by
   */
  channelBeside(channel, by) {
    const order = this.shownOrder();
    const place = clamp((order ? order.indexOf(channel) : channel) + by, 0, this.gates.length - 1);
    return order ? order[place] : place;
  }
}
