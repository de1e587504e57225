// @ts-check
// One image, and over it the attention that the position under the pointer pays or receives in a large map.
//
// The image comes once. Rows are asked for one at a time over the wire (wire.js): while one is under way only the newest
// position waits, and each answer is kept, so that a way back asks for nothing.
import { contextOf, newCanvas, rgbCanvas } from "../lib/canvas.js";
import { SOFTMAX_TOP } from "../lib/colour_tables.js";
import { COLOUR_MAPS, gradient, mapCanvas } from "../lib/colours.js";
import { button, element, fillMenu, find, labelled, menu, range, setPressed } from "../lib/dom.js";
import { ARROWS, boxOf, cellAt, cellOf, cellWords, middleOf, placeOf } from "../lib/grid.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { nameOf, questionOf, readAnswer, timesUniform } from "./answer.js";
import { markCell, markCross } from "./marks.js";
import { linkWithState, stateFromLink } from "./state.js";

/** @import { Cell, Frame, Grid, Place } from "../lib/grid.js" */
/** @import { Call, Column } from "../lib/mount.js" */
/** @import { Question, Weights } from "./answer.js" */
/** @import { State } from "./state.js" */
/** @import { WireData } from "./wire.js" */

const MOST_PINS = 3;
const MOST_KNOWN = 300; // answers kept: of 256 x 256 positions 75 MB
const BETWEEN_MS = 40; // two questions
const LOST_MS = 5000; // after this a question is asked again
const LEAST_WIDTH = 320; // of a canvas that is not laid out yet

/** @typedef {{ title: string, grid: Grid, key_grid: Grid, heads: number, frame: Frame }} Layer see LargeMapLayer on the Python side */
/** @typedef {{ id: string, layers: Layer[], size: Grid, bytes: Column }} LargeMapsData */
/** @typedef {{ figure: HTMLElement, canvas: HTMLCanvasElement, words: HTMLElement, numbers: HTMLElement }} Stage */

class LargeMaps {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.state = stateFromLink(window.location.search, MOST_PINS);
    this.look = { colours: COLOUR_MAPS[0][0], stretched: false, opacity: 0.7 };
    this.id = "";
    /** @type {Layer[]} */
    this.layers = [];
    this.image = newCanvas(1, 1);
    /** @type {Map<string, Weights>} answers by the name of their question */
    this.known = new Map();
    /** @type {string | null} name of the question that has no answer yet */
    this.underWay = null;
    /** @type {Weights | null} drawn faintly until the next answer comes */
    this.last = null;
    /** @type {Place | null} */
    this.pointer = null;
    this.askedAt = 0;
    this.timers = { ask: 0, lost: 0, link: 0 };
    this.frame = 0;
    this.abort = new AbortController();
    const hear = (/** @type {Event} */ event) => this.hear(/** @type {CustomEvent<WireData>} */ (event).detail);
    document.addEventListener("attnlab:large-map-answer", hear, { signal: this.abort.signal });
    this.resize = new ResizeObserver(() => this.schedule());
    this.resize.observe(root);

    this.layerMenu = menu([], (value) => this.set({ layer: Number(value) }));
    this.layerLabel = labelled("Map", this.layerMenu);
    this.headMenu = menu([], (value) => this.set({ head: Number(value) }));
    this.headLabel = labelled("Head", this.headMenu);
    this.paid = button("attention paid", () => this.set({ column: false }));
    this.received = button("attention received", () => this.set({ column: true }));
    this.clear = button("remove all pins", () => this.set({ pins: [] }));
    this.low = element("span");
    this.ramp = element("i");
    this.high = element("span");
    this.stages = Array.from({ length: 1 + MOST_PINS }, (_, at) => (at ? this.pinnedStage(at - 1) : this.mainStage()));
    this.build();
  }

  build() {
    const sides = element("div", "sides");
    sides.setAttribute("role", "group");
    sides.setAttribute("aria-label", "Direction of attention");
    sides.append(this.paid, this.received);
    const colours = menu(COLOUR_MAPS, (value) => this.show({ colours: value }));
    const scale = menu([["absolute", "fixed (comparable)"], ["map", "stretched to each map"]], (value) =>
      this.show({ stretched: value === "map" }),
    );
    const opacity = range({ min: 0, max: 1, step: 0.05, value: this.look.opacity });
    opacity.addEventListener("input", () => this.show({ opacity: Number(opacity.value) }));
    const tools = element("div", "tools");
    tools.append(
      ...[this.layerLabel, sides, this.headLabel, labelled("Colours", colours), labelled("Scale", scale)],
      ...[labelled("Opacity", opacity), this.clear],
    );
    const stages = element("div", "stages");
    stages.append(...this.stages.map(({ figure }) => figure));
    const bar = element("div", "scale");
    bar.append(this.low, this.ramp, this.high);
    const keys =
      "Keyboard, on the first image: arrow keys move (with Shift by four), Enter pins, c switches between attention paid " +
      "and received, h changes the head, Escape removes all pins.";
    this.root.replaceChildren(tools, stages, bar, element("p", "keys", keys));
  }

  /** The image on which a position is pointed at. */
  mainStage() {
    const stage = buildStage("");
    const { canvas } = stage;
    canvas.tabIndex = 0;
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("keyup", (event) => event.stopPropagation());
    canvas.addEventListener("click", () => this.pin());
    this.listen(canvas, (place) => this.point(place));
    return stage;
  }

  /** @param {number} pin its place in the list of pins */
  pinnedStage(pin) {
    const stage = buildStage("pinned");
    const unpin = button("unpin", () => this.set({ pins: this.state.pins.filter((_, at) => at !== pin) }));
    stage.caption.append(unpin);
    this.listen(stage.canvas, () => this.schedule());
    return stage;
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(place: Place) => void} change
   */
  listen(canvas, change) {
    const move = (/** @type {PointerEvent} */ event) => {
      this.pointer = placeOf(event, canvas);
      change(this.pointer);
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerdown", move);
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.schedule();
    });
  }

  destroy() {
    this.abort.abort();
    this.resize.disconnect();
    cancelAnimationFrame(this.frame);
    Object.values(this.timers).forEach(clearTimeout);
    this.root.replaceChildren();
  }

  /** @param {LargeMapsData} data */
  load({ id, layers, size, bytes }) {
    if (this.id === id) return;
    this.id = id;
    this.layers = layers;
    this.image = rgbCanvas(bytesOf(bytes), ...size);
    this.known.clear();
    this.underWay = null;
    this.last = null;
    fillMenu(this.layerMenu, layers.map(({ title }, at) => [String(at), title]));
    const most = Math.max(...layers.map(({ heads }) => heads));
    fillMenu(this.headMenu, [["-1", "mean of all heads"], ...headOptions(most)]);
    this.set({ layer: Math.min(this.state.layer, layers.length - 1) });
  }

  get layer() {
    return this.layers[this.state.layer];
  }

  /** The grid of the positions that are pointed at: queries, or keys for attention received. */
  get pointedGrid() {
    return this.state.column ? this.layer.key_grid : this.layer.grid;
  }

  // ---- asking ----------------------------------------------------------------------------------------------------

  /**
   * @param {Place} place
   * @returns {Question}
   */
  question(place) {
    const { row, column: col } = cellAt(this.pointedGrid, place, this.layer.frame);
    const { layer, column, head } = this.state;
    return { layer, row, col, column, head };
  }

  /** @param {Place} place */
  answerTo(place) {
    return this.known.get(nameOf(this.question(place)));
  }

  /** Asks for the first position without an answer, unless a question is under way. */
  askNext() {
    const next = [this.state.cursor, ...this.state.pins].find((place) => !this.answerTo(place));
    if (!next || this.underWay) return;
    clearTimeout(this.timers.ask);
    const early = this.askedAt + BETWEEN_MS - performance.now();
    if (early > 0) {
      this.timers.ask = window.setTimeout(() => this.askNext(), early);
      return;
    }
    const question = this.question(next);
    const detail = { id: this.id, question, heard: false };
    document.dispatchEvent(new CustomEvent("attnlab:large-map-question", { detail }));
    if (!detail.heard) return; // the wire is not there yet; it says when it is
    this.askedAt = performance.now();
    this.underWay = nameOf(question);
    clearTimeout(this.timers.lost);
    this.timers.lost = window.setTimeout(() => {
      this.underWay = null;
      this.askNext();
    }, LOST_MS);
  }

  /** @param {WireData} data */
  hear({ id, answer }) {
    if (id !== this.id) return;
    if (answer) {
      const name = nameOf(questionOf(answer));
      const layer = this.layers[answer.layer];
      this.known.set(name, readAnswer(answer, answer.column ? layer.grid : layer.key_grid));
      const [oldest] = this.known.keys();
      if (this.known.size > MOST_KNOWN) this.known.delete(oldest);
      if (this.underWay === name) this.underWay = null;
    }
    this.schedule();
    this.askNext();
  }

  // ---- changes ---------------------------------------------------------------------------------------------------

  /** @param {Partial<State>} change */
  set(change) {
    Object.assign(this.state, change);
    this.state.head = Math.min(this.state.head, this.layer.heads - 1);
    this.askNext();
    this.schedule();
    clearTimeout(this.timers.link);
    this.timers.link = window.setTimeout(() => {
      window.history.replaceState(window.history.state, "", linkWithState(window.location.href, this.state));
    }, 200);
  }

  /** @param {Partial<LargeMaps["look"]>} change */
  show(change) {
    Object.assign(this.look, change);
    this.schedule();
  }

  /**
   * The position is kept as the middle of its cell, so that it means the same on the other grid.
   * @param {Place} place
   */
  point(place) {
    this.set({ cursor: middleOf(this.pointedGrid, cellAt(this.pointedGrid, place, this.layer.frame), this.layer.frame) });
  }

  /** Pins the position, or removes the pin that is already there. */
  pin() {
    const { cursor, pins } = this.state;
    const name = nameOf(this.question(cursor));
    const others = pins.filter((place) => nameOf(this.question(place)) !== name);
    this.set({ pins: others.length < pins.length ? others : [...pins, cursor].slice(-MOST_PINS) });
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const action = this.actionOf(event);
    if (!action) return;
    action();
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {(() => void) | null}
   */
  actionOf({ key, shiftKey }) {
    const { pins, column, head } = this.state;
    const { heads } = this.layer;
    if (key in ARROWS) return () => this.nudge(ARROWS[key], shiftKey ? 4 : 1);
    if (key === "Enter" || key === " ") return () => this.pin();
    if (key === "Escape" && pins.length) return () => this.set({ pins: [] });
    if (key === "c") return () => this.set({ column: !column });
    if (key === "h" && heads > 1) return () => this.set({ head: head + 1 < heads ? head + 1 : -1 });
    return null;
  }

  /**
   * Moves the position by some cells.
   * @param {readonly [row: number, column: number]} by
   * @param {number} far
   */
  nudge(by, far) {
    const { row, column } = cellAt(this.pointedGrid, this.state.cursor, this.layer.frame);
    this.pointer = null;
    this.point(middleOf(this.pointedGrid, cellOf(this.pointedGrid, row + far * by[0], column + far * by[1]), this.layer.frame));
  }

  // ---- drawing ---------------------------------------------------------------------------------------------------

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.layers.length || !this.root.clientWidth) return;
    const { state, look } = this;
    this.layerMenu.value = String(state.layer);
    this.headMenu.value = String(state.head);
    this.layerLabel.hidden = this.layers.length < 2;
    this.headLabel.hidden = this.layer.heads < 2;
    setPressed(this.paid, !state.column);
    setPressed(this.received, state.column);
    this.ramp.style.background = gradient(look.colours);
    this.low.textContent = look.stretched ? "minimum of each map" : "0";
    this.high.textContent = look.stretched ? "maximum of each map (stretched)" : `${SOFTMAX_TOP}× uniform or more`;
    this.clear.hidden = !state.pins.length;
    const [main, ...pinned] = this.stages;
    const answer = this.answerTo(state.cursor);
    this.last = answer ?? this.last;
    this.drawStage(main, state.cursor, answer, this.last, this.pointer ?? state.cursor);
    pinned.forEach((stage, at) => {
      const place = state.pins[at];
      stage.figure.hidden = !place;
      if (!place) return;
      const weights = this.answerTo(place) ?? null;
      const context = this.drawStage(stage, place, weights, weights, this.pointer);
      if (this.pointer) markCross(context, this.pointer);
    });
  }

  /**
   * @param {Stage} stage
   * @param {Place} place whose attention is shown
   * @param {Weights | null | undefined} answer to the question about it, if there is one already
   * @param {Weights | null} shown the answer, or the one before while the new one is under way
   * @param {Place | null} read the place whose number is read out
   */
  drawStage(stage, place, answer, shown, read) {
    const { canvas } = stage;
    const [height, width] = [this.image.height, this.image.width];
    const wide = Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2)) || LEAST_WIDTH;
    const tall = Math.round((wide * height) / width);
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
    canvas.style.aspectRatio = `${width} / ${height}`;
    const context = contextOf(canvas);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 1;
    context.drawImage(this.image, 0, 0, wide, tall);
    if (shown) {
      const { colours, stretched, opacity } = this.look;
      context.globalAlpha = answer ? opacity : opacity / 2;
      const map = mapCanvas(shown.weights, shown.grid, stretched ? [shown.low, shown.high] : [0, SOFTMAX_TOP], colours);
      const box = boxOf(this.layer.frame, wide, tall);
      context.drawImage(map, box.x, box.y, box.wide, box.tall);
      context.globalAlpha = 1;
    }
    const cell = cellAt(this.pointedGrid, place, this.layer.frame);
    markCell(context, cell, this.pointedGrid, this.layer.frame);
    this.writeCaption(stage, cell, answer, read);
    return context;
  }

  /**
   * @param {Stage} stage
   * @param {Cell} cell
   * @param {Weights | null | undefined} answer
   * @param {Place | null} read
   */
  writeCaption(stage, cell, answer, read) {
    stage.words.textContent = `${this.state.column ? "Positions attending to" : "Attention paid by"} ${cellWords(cell)}`;
    stage.numbers.textContent = answer ? this.numbers(answer, read) : "Loading…";
    const [height, width] = this.pointedGrid;
    const map = this.layers.length > 1 ? `${this.layer.title}: ` : "";
    const words = `${map}${stage.words.textContent} (${height} × ${width} positions); ${stage.numbers.textContent}`;
    stage.canvas.setAttribute("aria-label", words);
  }

  /**
   * @param {Weights} answer
   * @param {Place | null} read
   */
  numbers({ weights, grid, best, high }, read) {
    const where = this.pointer ? "under the pointer" : "on itself";
    const number = read ? `${timesUniform(weights[cellAt(grid, read, this.layer.frame).index])} ${where} · ` : "";
    const at = cellWords({ row: Math.floor(best / grid[1]), column: best % grid[1] });
    return `${number}maximum ${timesUniform(high)}, at ${at}`;
  }
}

/** @param {string} className */
function buildStage(className) {
  const figure = element("figure", className);
  const caption = element("figcaption");
  const [words, numbers] = [element("b"), element("span", "numbers")];
  caption.append(words, numbers);
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  figure.append(canvas, caption);
  return { figure, canvas, caption, words, numbers };
}

/** @param {number} heads */
function headOptions(heads) {
  return Array.from({ length: heads }, (_, at) => /** @type {[string, string]} */ ([String(at), `head ${at + 1}`]));
}

export default mounted(
  (root) => new LargeMaps(find(root, ".large-maps", HTMLElement)),
  (maps, /** @type {Call<LargeMapsData>} */ { data }) => maps.load(data),
  (maps) => maps.destroy(),
);
