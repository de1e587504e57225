// @ts-check
// The colour bar of a card: what the colours stand for, and where the value lies that is pointed at.
import { contextOf, newCanvas, putPixels, sharpContext } from "../lib/canvas.js";
import { SOFTMAX_TOP } from "../lib/colour_tables.js";
import { palette } from "../lib/colours.js";
import { button, element, setText } from "../lib/dom.js";
import { clamp } from "../lib/grid.js";
import { Latest } from "../lib/latest.js";
import { formatNumber } from "../lib/numbers.js";
import { isStacked } from "./branches.js";
import { isAbove, isBelow, scaleWords } from "./field.js";

/** @import { Card } from "./card.js" */

export const BAR_HEIGHT = 34; // as in the style sheet
const LOW_CONTRAST = 0.15; // a map that uses less of the fixed scale is nearly one colour

export class ColourBar {
  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    this.root = element("div", "legend-box");
    this.canvas = element("canvas", "legend");
    this.canvas.setAttribute("role", "img");
    this.words = element("p", "words");
    this.stretch = button("", () => card.viewer.set({ scope: "map" }, true), { className: "stretch" });
    this.stretch.hidden = true;
    this.pointer = element("span", "pointer");
    this.root.append(this.pointer, this.canvas, this.words, this.stretch);
    this.drawn = { ticks: "", colours: "" };
    this.rampCanvas = newCanvas(256, 1); // kept: a new one for each frame would cost more than the drawing
    /** @type {Latest<HTMLCanvasElement>} */
    this.ramp = new Latest();
  }

  draw() {
    const { card } = this;
    const { layer, sideWidth } = card;
    this.root.hidden = !layer || isStacked(layer); // branches have a legend of their own
    if (!layer || this.root.hidden) return;
    const { state, look } = card.viewer;
    this.movePointer();
    this.offerStretch();
    const words = scaleWords(state, layer, card.field, card.ends, card.values);
    if (setText(this.words, words)) {
      this.canvas.setAttribute("aria-label", `Colour bar from ${card.ends.map(formatNumber).join(" to ")}: ${words}`);
    }
    const ticks = `${layer.name}:${!!card.field?.entropy}:${sideWidth}:${card.ends}:${state.scope}:${look}`;
    const colours = `${card.bend}:${card.colours}`;
    const sameTicks = this.drawn.ticks === ticks;
    if ((sameTicks && this.drawn.colours === colours) || !sideWidth) return;
    this.drawn = { ticks, colours };
    if (sameTicks) {
      this.paintRamp(contextOf(this.canvas), sideWidth); // text is the slow part
      return;
    }
    this.paint(sharpContext(this.canvas, sideWidth, BAR_HEIGHT, 2), sideWidth);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   */
  paint(context, wide) {
    this.paintRamp(context, wide);
    this.paintTicks(context, wide);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   */
  paintRamp(context, wide) {
    const { theme } = this.card.viewer;
    const [left, span, top, tall] = [1, wide - 2, 6, 10];
    context.fillStyle = theme.faint;
    context.fillRect(left, top, span, tall);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.drawnRamp(), left, top, span, tall);
    context.lineWidth = 1;
    context.strokeStyle = theme.border;
    context.strokeRect(left - 0.5, top - 0.5, span + 1, tall + 1);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   */
  paintTicks(context, wide) {
    const { ends, viewer } = this.card;
    const { theme } = viewer;
    const [low, high] = ends;
    const saturates = high === SOFTMAX_TOP || isAbove(this.card.extent()[1], high);
    const sinks = isBelow(this.card.extent()[0], low);
    context.font = `11px ${theme.font}`;
    context.fillStyle = theme.text;
    for (const share of wide < 240 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
      const x = 1 + share * (wide - 2);
      context.globalAlpha = 0.55;
      context.fillRect(Math.min(x, wide - 1), 16, 1, 4);
      context.globalAlpha = 0.85;
      context.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      const text = formatNumber(low + share * (high - low));
      context.fillText(saturates && share === 1 ? `≥ ${text}` : sinks && share === 0 ? `≤ ${text}` : text, x, 31);
    }
    context.globalAlpha = 1;
    context.textAlign = "left";
  }

  /** Where the value that is pointed at lies on the colour bar. */
  movePointer() {
    const { card, pointer } = this;
    const value = card.pointedValue();
    const [low, high] = card.ends;
    pointer.hidden = value === null || !(high > low);
    if (value === null || pointer.hidden) return;
    const share = clamp((value - low) / (high - low), 0, 1);
    pointer.style.transform = `translateX(${(1 + share * (card.sideWidth - 2)).toFixed(1)}px)`;
  }

  /** The 256 colours in a row, nothing where weights are hidden. */
  drawnRamp() {
    const { bend, colours, index } = this.card;
    return this.ramp.get(`${colours}:${bend}`, () => {
      const { pixels } = palette(colours);
      return putPixels(this.rampCanvas, Uint32Array.from(index, (at) => (at < 0 ? 0 : pixels[at])), 1, 256);
    });
  }

  /** On the fixed scale an almost even map is one flat colour. That is the truth; how to see more is offered beside it. */
  offerStretch() {
    const { card } = this;
    const [low, high] = card.ends;
    const [least, most] = card.extent();
    const offered = card.viewer.state.scope === "absolute" && (Math.min(most, high) - least) / (high - low) < LOW_CONTRAST;
    const words = offered ? `Low contrast (${formatNumber(least)} to ${formatNumber(most)}): stretch colours` : "";
    if (setText(this.stretch, words)) this.stretch.hidden = !offered;
  }
}
