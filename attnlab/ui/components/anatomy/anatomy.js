// @ts-check
// A block taken apart. The spot is chosen on the picture, the channel by a slider; pointing at a part of the formula or at a
// step shows its tensor. All numbers are here already, so nothing is asked of the server.
import { contextOf, newCanvas, rgbCanvas, strokeTwice } from "../lib/canvas.js";
import { COLOUR_MAPS, FACTOR_COLOURS, gradient, mapCanvas } from "../lib/colours.js";
import { element, find, labelled, range, setText } from "../lib/dom.js";
import { ARROWS, boxOf, cellAt, cellOf, cellWords, placeOf } from "../lib/grid.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { formatNumber } from "../lib/numbers.js";
import { largestKey, pick } from "./readings.js";

/** @import { Frame, Grid } from "../lib/grid.js" */
/** @import { Call, Column } from "../lib/mount.js" */
/** @import { AxisName, Spot } from "./readings.js" */

const SIDE = 256; // of the picture's canvas
const MOST_NUMBERS = 4; // of a vector, written out
const GAP = 2; // between panes

/**
 * @typedef {object} Tensor
 * @property {string} words
 * @property {string} shape
 * @property {{ offset: number, count: number, grid: Grid, shown: number, all: number }} panes
 * @property {readonly [low: number, high: number]} ends
 */

/** @typedef {Tensor & { math: string, sides: number[], axes: AxisName[], offset: number, count: number }} SymbolData */

/**
 * @typedef {object} AnatomyData
 * @property {string} title
 * @property {Grid} size of the picture
 * @property {Frame} frame of the picture that the map fills
 * @property {number[]} features C, H and W
 * @property {string} formula MathML, or empty
 * @property {SymbolData[]} symbols
 * @property {Tensor[]} steps
 * @property {string} diagram SVG
 * @property {number} numbers
 * @property {Column} bytes the numbers as float32, then the picture (RGB)
 */

class Anatomy {
  /** @param {HTMLElement} root */
  constructor(root) {
    /** @type {AnatomyData | null} */
    this.data = null;
    this.numbers = new Float32Array();
    /** @type {HTMLCanvasElement | null} */
    this.picture = null;
    /** @type {Spot} */
    this.spot = { row: 0, column: 0, channel: 0 };
    /** @type {Element | null} what the pane shows */
    this.chosen = null;

    this.canvas = element("canvas", "picture");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.where = element("p", "where");
    this.where.setAttribute("aria-live", "polite");
    this.channel = range({ min: 0, max: 0, step: 1, label: "Channel" });
    this.channelOutput = element("output");
    this.channelLabel = labelled("channel", this.channel, this.channelOutput);
    this.formula = element("div", "formula");
    this.table = element("div", "readings");
    this.paths = element("div", "path");
    this.paths.tabIndex = 0;
    this.paths.setAttribute("role", "region");
    this.pane = element("figure", "pane");
    this.paneTitle = element("figcaption");
    this.paneCanvas = element("canvas");
    this.paneCanvas.setAttribute("role", "img");
    this.paneScale = element("div", "scale");
    this.low = element("span");
    this.ramp = element("i");
    this.high = element("span");
    this.paneScale.append(this.low, this.ramp, this.high);
    this.pane.append(this.paneTitle, this.paneCanvas, this.paneScale);

    const spot = element("div", "spot");
    spot.append(this.canvas, this.where, this.channelLabel);
    const aside = element("div", "aside");
    aside.append(spot, this.pane);
    const main = element("div", "main");
    main.append(this.formula, this.table, this.paths);
    root.replaceChildren(aside, main);
    this.listen();
  }

  listen() {
    const { canvas } = this;
    const point = (/** @type {PointerEvent} */ event) => {
      if (!this.data) return;
      const [, height, width] = this.data.features;
      this.move(cellAt([height, width], placeOf(event, canvas), this.data.frame));
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("keydown", (event) => {
      if (!this.data || !(event.key in ARROWS)) return;
      const [, height, width] = this.data.features;
      const [down, right] = ARROWS[event.key];
      this.move(cellOf([height, width], this.spot.row + down, this.spot.column + right));
      event.preventDefault();
    });
    this.channel.addEventListener("input", () => {
      this.spot.channel = Number(this.channel.value);
      this.write();
    });
    for (const part of [this.formula, this.table, this.paths]) {
      for (const kind of ["pointerover", "focusin", "click"]) {
        part.addEventListener(kind, (event) => {
          const target = event.target instanceof Element ? event.target.closest("[data-symbol], [data-step]") : null;
          if (target) this.choose(target);
        });
      }
    }
  }

  /** @param {AnatomyData} data */
  load(data) {
    const sameGrid = this.data && String(this.data.features) === String(data.features);
    this.data = data;
    const bytes = bytesOf(data.bytes);
    this.numbers = new Float32Array(bytes.slice(0, 4 * data.numbers).buffer);
    const [height, width] = data.size;
    this.picture = rgbCanvas(bytes.subarray(4 * data.numbers), height, width);
    this.canvas.width = Math.round((SIDE * width) / Math.max(width, height));
    this.canvas.height = Math.round((SIDE * height) / Math.max(width, height));
    const [channels, rows, columns] = data.features;
    if (!sameGrid) this.spot = { row: Math.floor(rows / 2), column: Math.floor(columns / 2), channel: 0 };
    this.channel.max = String(channels - 1);
    this.channel.value = String(this.spot.channel);
    this.channelLabel.hidden = channels < 2 || !data.symbols.length;
    this.formula.innerHTML = data.formula;
    this.formula.hidden = !data.formula;
    this.buildTable(data);
    this.paths.innerHTML = data.diagram;
    this.paths.setAttribute("aria-label", `Data path of ${data.title}, scrolls sideways`);
    this.choose(this.table.querySelector("[data-symbol].weights") ?? this.paths.querySelector(".step"));
    this.write();
  }

  /** @param {AnatomyData} data */
  buildTable(data) {
    this.table.hidden = !data.symbols.length;
    const rows = data.symbols.map((symbol, at) => {
      const row = element("div", /weight|gate|factor|share|attends/.test(symbol.words) ? "reading weights" : "reading");
      row.tabIndex = 0;
      row.setAttribute("role", "button");
      row.dataset.symbol = String(at);
      const name = element("span", "name");
      name.innerHTML = symbol.math;
      row.append(name, element("span", "words", symbol.words), element("span", "sides", symbol.shape), element("b", "number"));
      return row;
    });
    this.table.replaceChildren(...rows);
  }

  /** @param {{ row: number, column: number }} cell */
  move({ row, column }) {
    if (row === this.spot.row && column === this.spot.column) return;
    Object.assign(this.spot, { row, column });
    this.write();
  }

  /** Writes all that follows from the spot. */
  write() {
    const { data, spot } = this;
    if (!data) return;
    this.drawPicture(data);
    this.channelOutput.textContent = String(spot.channel);
    const [, height, width] = data.features;
    const place = `${cellWords(spot)} of ${height} × ${width}`;
    setText(this.where, data.symbols.length ? `At ${place}, channel ${spot.channel}` : `At ${place}`);
    this.canvas.setAttribute("aria-label", `Picture; the chosen position is ${place}. Arrow keys move it.`);
    data.symbols.forEach((symbol, at) => {
      const number = this.table.children[at].querySelector(".number");
      if (number instanceof HTMLElement) setText(number, this.reading(symbol, data));
    });
  }

  /**
   * The numbers of a symbol at the spot, in words.
   * @param {SymbolData} symbol
   * @param {AnatomyData} data
   */
  reading({ offset, count, sides, axes }, { features }) {
    const values = this.numbers.subarray(offset, offset + count);
    const found = pick(values, sides, axes, this.spot, features);
    if (found.length === 1) return formatNumber(found[0]);
    if (axes.at(-1) === "key") {
      const side = /** @type {number} */ (sides.at(-1));
      const heads = found.length > side ? `, head 1 of ${found.length / side}` : "";
      return `largest ${formatNumber(Math.max(...found.slice(0, side)))} at ${largestKey(found, side, features)}${heads}`;
    }
    const some = found.slice(0, MOST_NUMBERS).map(formatNumber).join(", ");
    return found.length > MOST_NUMBERS ? `${some} … (${found.length})` : some;
  }

  /** @param {AnatomyData} data */
  drawPicture({ frame, features: [, height, width] }) {
    const context = contextOf(this.canvas);
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.picture) context.drawImage(this.picture, 0, 0, this.canvas.width, this.canvas.height);
    const box = boxOf(frame, this.canvas.width, this.canvas.height);
    const cell = new Path2D();
    const [wide, tall] = [box.wide / width, box.tall / height];
    cell.rect(box.x + this.spot.column * wide, box.y + this.spot.row * tall, wide, tall);
    strokeTwice(context, cell, 4, 2);
  }

  /**
   * Lights up a part of the formula or a step, and shows its tensor.
   * @param {Element | null} target
   */
  choose(target) {
    const { data } = this;
    if (!data || !target) return;
    const symbol = target.getAttribute("data-symbol");
    const step = target.getAttribute("data-step");
    for (const each of [...this.formula.querySelectorAll(".symbol"), ...this.table.children, ...this.paths.querySelectorAll(".step")]) {
      const lit = symbol !== null ? each.getAttribute("data-symbol") === symbol : each.getAttribute("data-step") === step;
      each.classList.toggle("lit", lit);
    }
    this.showTensor(symbol !== null ? data.symbols[Number(symbol)] : data.steps[Number(step)]);
  }

  /** @param {Tensor} tensor */
  showTensor({ words, shape, panes, ends }) {
    const { grid, shown, all } = panes;
    const some = all > shown ? `; the first ${shown} of ${all}` : "";
    setText(this.paneTitle, `${words}: ${shape}${some}`);
    const reach = Math.max(Math.abs(ends[0]), Math.abs(ends[1]));
    const signed = ends[0] < 0;
    /** @type {readonly [number, number]} */
    const scale = signed ? [-reach, reach] : [Math.min(ends[0], 0), ends[1]];
    const colours = signed ? FACTOR_COLOURS : COLOUR_MAPS[0][0];
    const across = Math.ceil(Math.sqrt(shown));
    const down = Math.ceil(shown / across);
    const [tall, wide] = grid;
    const zoom = Math.max(1, Math.floor(240 / across / Math.max(tall, wide)));
    const strip = tall === 1 ? Math.max(1, Math.floor(24 / zoom)) : 1;
    const [paneWide, paneTall] = [wide * zoom, tall * zoom * strip];
    const canvas = newCanvas(across * (paneWide + GAP) - GAP, down * (paneTall + GAP) - GAP);
    const context = contextOf(canvas);
    context.imageSmoothingEnabled = false;
    for (let at = 0; at < shown; at++) {
      const begin = panes.offset + at * tall * wide;
      const map = mapCanvas(this.numbers.subarray(begin, begin + tall * wide), grid, scale, colours);
      context.drawImage(map, (at % across) * (paneWide + GAP), Math.floor(at / across) * (paneTall + GAP), paneWide, paneTall);
    }
    Object.assign(this.paneCanvas, { width: canvas.width, height: canvas.height });
    contextOf(this.paneCanvas).drawImage(canvas, 0, 0);
    this.paneCanvas.setAttribute("aria-label", `${words}, ${shape}, from ${formatNumber(ends[0])} to ${formatNumber(ends[1])}`);
    setText(this.low, formatNumber(scale[0]));
    setText(this.high, formatNumber(scale[1]));
    this.ramp.style.background = gradient(colours);
  }
}

export default mounted(
  (root) => new Anatomy(find(root, ".anatomy", HTMLElement)),
  (view, /** @type {Call<AnatomyData>} */ { data }) => view.load(data),
);
