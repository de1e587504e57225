// @ts-check
// Two pictures of one map, as the network made it and as an operation left it, and a brush that works on both.
//
// Python sends image and weights; cells are painted here and sent when the pointer or key is released, one byte per cell
// in base64. The weights on the right follow with the server's answer; until then the cells of the stroke cover them. Where the
// network runs in the browser, it is told of every cell, and the weights follow at once.
import { fromBase64, toBase64 } from "../lib/base64.js";
import { contextOf, rgbCanvas, strokeTwice } from "../lib/canvas.js";
import { COLOUR_MAPS, FACTOR_COLOURS, gradient, mapCanvas } from "../lib/colours.js";
import { button, element, find, labelled, range, setPressed, setText } from "../lib/dom.js";
import { ARROWS, boxOf, cellAt, cellOf, cellWords, placeOf } from "../lib/grid.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { brushBox, ERASED, LEFT_ALONE, PAINTED, Painting } from "./painting.js";

/** @import { Cell, Frame, Grid } from "../lib/grid.js" */
/** @import { Call, Column } from "../lib/mount.js" */
/** @import { Scale } from "../../../viz/panels" */

const SIDE = 320; // longer side of a canvas in its own pixels
const OPACITY = 0.62;
const COLOURS = COLOUR_MAPS[0][0];

/**
 * @typedef {object} MaskEditorData
 * @property {string} id of the map and picture that are painted on
 * @property {string} label of the map
 * @property {Grid} grid
 * @property {Frame} frame of the picture that the cells fill
 * @property {Grid} size of the picture; [0, 0] where there is none
 * @property {boolean} channels the cells are channels, which have no place in a picture
 * @property {Scale} scale softmax weights are relative to uniform attention
 * @property {[string, string]} captions of the two pictures
 * @property {string} unit what a value is called
 * @property {number} brush what it does until a person chooses
 * @property {number} bottom the weight at the beginning of the colour scale
 * @property {number} top the weight at its end
 * @property {boolean} paintable
 * @property {string} painted cells in base64, or empty
 * @property {boolean} [live] the weights after follow while a stroke is drawn
 */

/** @param {{ scale: Scale }} data */
function coloursOf({ scale }) {
  return scale === "factor" ? FACTOR_COLOURS : COLOURS;
}

/** @typedef {{ figure: HTMLElement, caption: HTMLElement, canvas: HTMLCanvasElement }} Stage */

export class MaskEditor {
  /** @param {HTMLElement} root with the class mask-editor */
  constructor(root) {
    /** @type {MaskEditorData | null} */
    this.data = null;
    this.painting = new Painting([0, 0]);
    this.brush = 0; // that of the data, until a person chooses
    /** @type {Float32Array} */
    this.before = new Float32Array();
    /** @type {Float32Array} */
    this.after = new Float32Array();
    /** @type {HTMLCanvasElement | null} */
    this.picture = null;
    /** @type {Cell | null} under the pointer */
    this.cursor = null;
    /** @type {Cell | null} where the stroke that is being drawn has come to */
    this.last = null;
    /** A stroke has ended, or was taken back. @type {(cells: Uint8Array) => void} */
    this.send = () => {};
    /** A cell has changed. @type {(cells: Uint8Array) => void} */
    this.follow = () => {};
    this.showsDifference = false;

    this.root = root;
    /** @type {Stage | null} on which a stroke is being drawn, until the server has answered it */
    this.stroked = null;
    this.refused = false; // somebody tried to paint where there is no brush
    this.left = this.buildStage();
    this.right = this.buildStage();
    this.readout = element("p", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.paint = button("paint", () => this.choose(PAINTED));
    this.erase = button("erase", () => this.choose(ERASED));
    this.sizeInput = range({ min: 1, max: 9, step: 1, label: "Brush size in cells" });
    this.sizeInput.addEventListener("input", () => this.resize(Number(this.sizeInput.value)));
    this.sizeOutput = element("output");
    this.undoButton = button("undo", () => this.undo());
    this.clearButton = button("clear", () => this.clear());
    this.tools = element("div", "tools");
    this.tools.setAttribute("role", "toolbar");
    this.tools.setAttribute("aria-label", "Brush");
    this.tools.append(this.paint, this.erase, labelled("size", this.sizeInput, this.sizeOutput), this.undoButton, this.clearButton);
    this.differenceButton = button("difference", () => this.toggleDifference(), { title: "On the right: the map after, less the map before" });
    this.low = element("span");
    this.ramp = element("i");
    this.high = element("span");
    this.keys = element(
      "p",
      "keys",
      "Keyboard, on either map: arrow keys move, space paints, p paint, e erase, [ ] brush size, u undo, Delete clear.",
    );
    const stages = element("div", "stages");
    stages.append(this.left.figure, this.right.figure);
    const scale = element("div", "scale");
    scale.append(this.low, this.ramp, this.high, this.differenceButton);
    root.replaceChildren(stages, this.readout, this.tools, scale, this.keys);
  }

  /** @returns {Stage} */
  buildStage() {
    const figure = element("figure");
    const caption = element("figcaption");
    const canvas = element("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    figure.append(caption, canvas);
    const stage = { figure, caption, canvas };
    this.listen(stage);
    return stage;
  }

  // ---- what is shown ----------------------------------------------------------------------------------------------

  /**
   * @param {MaskEditorData} data
   * @param {Float32Array} before weights of the cells
   * @param {Float32Array} after
   * @param {HTMLCanvasElement | null} picture below the map
   */
  load(data, before, after, picture) {
    const fresh = this.data?.id !== data.id;
    this.data = data;
    this.before = before;
    this.after = after;
    this.picture = picture;
    if (fresh) this.begin(data);
    if (!this.last) this.stroked = null;
    this.root.classList.toggle("painting", data.paintable);
    this.tools.hidden = this.keys.hidden = !data.paintable;
    this.writeScale();
    this.draw();
    this.writeReadout();
  }

  /**
   * Other weights of the same map, in time for the next frame.
   * @param {Float32Array} before
   * @param {Float32Array} after
   */
  update(before, after) {
    this.before = before;
    this.after = after;
    this.draw();
    this.writeReadout();
  }

  toggleDifference() {
    this.showsDifference = !this.showsDifference;
    this.writeScale();
    this.draw();
  }

  /** What is said of the two pictures and their colours. */
  writeScale() {
    const { data } = this;
    if (!data) return;
    const factors = data.scale === "factor";
    if (this.showsDifference) {
      const most = differenceEnds(data)[1];
      setText(this.low, `right: −${most} or less`);
      setText(this.high, `+${most} or more`);
    } else {
      setText(this.low, factors ? `factor ${data.bottom} or less` : "0");
      setText(this.high, factors ? `factor ${data.top} or more` : data.scale === "softmax" ? `${data.top}× uniform or more` : `${data.unit} 1`);
    }
    this.ramp.style.background = gradient(this.showsDifference ? FACTOR_COLOURS : coloursOf(data));
    setPressed(this.differenceButton, this.showsDifference);
    for (const [at, { canvas, caption }] of [this.left, this.right].entries()) {
      setText(caption, at && this.showsDifference ? "difference: after minus before" : data.captions[at]);
      const help = data.paintable ? "; paint with the pointer, or with the arrow keys and space" : "";
      canvas.setAttribute("aria-label", `${data.label}, ${caption.textContent}${help}`);
    }
  }

  /**
   * Another map or picture.
   * @param {MaskEditorData} data
   */
  begin({ grid, size, painted, brush }) {
    const mode = brush === this.brush ? this.painting.mode : brush;
    this.brush = brush;
    const { size: wide } = this.painting;
    this.painting = new Painting(grid, painted ? fromBase64(painted) : undefined);
    Object.assign(this.painting, { mode, size: wide });
    this.cursor = null;
    const [height, width] = size[0] ? size : grid;
    for (const { canvas } of [this.left, this.right]) {
      canvas.width = Math.round((SIDE * width) / Math.max(width, height));
      canvas.height = Math.round((SIDE * height) / Math.max(width, height));
    }
  }

  draw() {
    if (!this.data) return;
    const { painting } = this;
    const { bottom, top } = this.data;
    this.drawStage(this.left, this.data, this.before, [bottom, top], coloursOf(this.data));
    if (this.showsDifference) {
      const difference = this.after.map((weight, at) => weight - this.before[at]);
      this.drawStage(this.right, this.data, difference, differenceEnds(this.data), FACTOR_COLOURS);
    } else this.drawStage(this.right, this.data, this.after, [bottom, top], coloursOf(this.data));
    this.undoButton.disabled = !painting.history.length;
    this.clearButton.disabled = painting.isEmpty;
    setPressed(this.paint, painting.mode === PAINTED);
    setPressed(this.erase, painting.mode === ERASED);
    this.sizeInput.value = String(painting.size);
    this.sizeOutput.textContent = String(painting.size);
  }

  /**
   * @param {Stage} stage
   * @param {MaskEditorData} data
   * @param {Float32Array} weights
   * @param {[low: number, high: number]} ends of the colour scale
   * @param {string} colours
   */
  drawStage(stage, { grid, frame, paintable, live }, weights, ends, colours) {
    const { canvas } = stage;
    const context = contextOf(canvas);
    const { width, height } = canvas;
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 1;
    if (this.picture) context.drawImage(this.picture, 0, 0, width, height);
    context.globalAlpha = this.picture ? OPACITY : 1;
    const box = boxOf(frame, width, height);
    context.drawImage(mapCanvas(weights, grid, ends, colours), box.x, box.y, box.wide, box.tall);
    context.globalAlpha = 1;
    context.save();
    context.translate(box.x, box.y);
    const [wide, tall] = [box.wide / grid[1], box.tall / grid[0]];
    if (paintable && (stage === this.left || (stage === this.stroked && !live))) this.drawCells(context, wide, tall);
    if (this.cursor) drawCursor(context, this.cursor, paintable ? this.painting.size : 1, wide, tall);
    context.restore();
  }

  /**
   * Painted cells are bright, erased ones are dark and crossed out: to be told apart without colours.
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide of a cell
   * @param {number} tall
   */
  drawCells(context, wide, tall) {
    const { cells, grid } = this.painting;
    cells.forEach((cell, at) => {
      if (cell === LEFT_ALONE) return;
      const x = (at % grid[1]) * wide;
      const y = Math.floor(at / grid[1]) * tall;
      context.fillStyle = cell === PAINTED ? "rgb(255 255 255 / 0.75)" : "rgb(0 0 0 / 0.78)";
      context.fillRect(x, y, Math.ceil(wide), Math.ceil(tall));
      if (cell !== ERASED || wide <= 5) return;
      context.strokeStyle = "#fff";
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x + 2, y + 2);
      context.lineTo(x + wide - 2, y + tall - 2);
      context.stroke();
    });
  }

  writeReadout() {
    if (!this.data) return;
    const { scale, unit, channels, paintable } = this.data;
    if (this.refused && !paintable) {
      this.readout.textContent = "To paint on this map, choose the operation Painted.";
      return;
    }
    if (!this.cursor) {
      this.readout.textContent = paintable ? "Paint on either map." : "";
      return;
    }
    const { index } = this.cursor;
    const place = channels ? `channel ${index}` : cellWords(this.cursor);
    const change = `${this.before[index].toFixed(2)} → ${this.after[index].toFixed(2)}`;
    this.readout.textContent = `${place} · ${scale === "softmax" ? `${change}× uniform` : `${unit} ${change}`}`;
  }

  // ---- painting ---------------------------------------------------------------------------------------------------

  /**
   * The stroke goes on to a cell, if one is being drawn.
   * @param {Cell} cell
   */
  drawTo(cell) {
    if (!this.last) return;
    this.painting.stroke(this.last, cell);
    this.last = cell;
    this.follow(this.painting.cells);
  }

  /**
   * @param {Cell} cell
   * @param {Stage} stage
   */
  press(cell, stage) {
    this.painting.remember();
    this.stroked = stage;
    this.last = cell;
    this.drawTo(cell);
  }

  release() {
    if (!this.last) return;
    this.last = null;
    this.send(this.painting.cells);
    this.draw();
  }

  undo() {
    if (this.painting.undo()) this.tell();
    this.draw();
  }

  clear() {
    if (this.painting.isEmpty) return;
    this.painting.clear();
    this.tell();
    this.draw();
  }

  tell() {
    this.follow(this.painting.cells);
    this.send(this.painting.cells);
  }

  /** @param {number} mode */
  choose(mode) {
    this.painting.mode = mode;
    this.draw();
  }

  /** @param {number} size */
  resize(size) {
    this.painting.resize(size);
    this.draw();
  }

  // ---- pointer and keyboard ---------------------------------------------------------------------------------------

  /** @param {Stage} stage */
  listen(stage) {
    const { canvas } = stage;
    const paints = () => !!this.data?.paintable;
    const point = (/** @type {PointerEvent} */ event) => (this.cursor = cellAt(this.painting.grid, placeOf(event, canvas), this.data?.frame));
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (!paints()) {
        this.refused = true;
        this.writeReadout();
        return;
      }
      canvas.setPointerCapture(event.pointerId);
      this.press(point(event), stage);
      this.draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const cell = point(event);
      if (paints()) this.drawTo(cell);
      this.draw();
      this.writeReadout();
    });
    canvas.addEventListener("pointerup", () => this.release());
    canvas.addEventListener("pointercancel", () => this.release());
    canvas.addEventListener("pointerleave", () => {
      if (this.last) return;
      this.cursor = null;
      this.refused = false;
      this.draw();
      this.writeReadout();
    });
    canvas.addEventListener("keydown", (event) => this.onKey(event, stage));
    canvas.addEventListener("keyup", (event) => event.key === " " && this.release());
    canvas.addEventListener("blur", () => this.release());
  }

  /**
   * @param {KeyboardEvent} event
   * @param {Stage} stage
   */
  onKey(event, stage) {
    const action = this.moveOf(event) ?? (this.data?.paintable ? this.actionOf(event, stage) : undefined);
    if (!action) return;
    action();
    event.preventDefault();
    event.stopPropagation();
    this.draw();
    this.writeReadout();
  }

  /**
   * The action of an arrow key.
   * @param {KeyboardEvent} event
   */
  moveOf({ key }) {
    if (!(key in ARROWS)) return undefined;
    return () => {
      const { row, column } = this.cursor ?? this.middle();
      this.cursor = cellOf(this.painting.grid, row + ARROWS[key][0], column + ARROWS[key][1]);
      this.drawTo(this.cursor);
    };
  }

  /**
   * The action of a key of the brush.
   * @param {KeyboardEvent} event
   * @param {Stage} stage
   */
  actionOf({ key, ctrlKey, metaKey }, stage) {
    if (key === "z") return ctrlKey || metaKey ? () => this.undo() : undefined;
    /** @type {Record<string, () => void>} */
    const actions = {
      " ": () => {
        this.cursor ??= this.middle();
        if (!this.last) this.press(this.cursor, stage);
      },
      u: () => this.undo(),
      Delete: () => this.clear(),
      p: () => this.choose(PAINTED),
      e: () => this.choose(ERASED),
      "[": () => this.resize(this.painting.size - 1),
      "]": () => this.resize(this.painting.size + 1),
    };
    return Object.hasOwn(actions, key) ? actions[key] : undefined;
  }

  middle() {
    return cellAt(this.painting.grid, { u: 0.5, v: 0.5 });
  }
}

/**
 * Marks the cells under the brush.
 * @param {CanvasRenderingContext2D} context
 * @param {Cell} cell
 * @param {number} size of the brush
 * @param {number} wide of a cell
 * @param {number} tall
 */
function drawCursor(context, cell, size, wide, tall) {
  const { top, bottom, left, right } = brushBox(cell, size);
  const box = new Path2D();
  box.rect(left * wide, top * tall, (right - left) * wide, (bottom - top) * tall);
  strokeTwice(context, box, 3, 1.5);
}

/**
 * The ends of the colour scale of a difference: half of that of the map to either side.
 * @param {MaskEditorData} data
 * @returns {[number, number]}
 */
function differenceEnds({ bottom, top }) {
  return [(bottom - top) / 2, (top - bottom) / 2];
}

/** @typedef {MaskEditorData & { bytes: Column }} Sent bytes: weights before and after (float32 each), then the picture (RGB) */

export default mounted(
  (root) => new MaskEditor(find(root, ".mask-editor", HTMLElement)),
  (editor, /** @type {Call<Sent>} */ { data, setStateValue }) => {
    const bytes = bytesOf(data.bytes);
    const count = data.grid[0] * data.grid[1];
    const weights = new Float32Array(bytes.slice(0, 8 * count).buffer);
    const same = editor.data?.id === data.id;
    const picture = same ? editor.picture : data.size[0] ? rgbCanvas(bytes.subarray(8 * count), ...data.size) : null;
    editor.send = (cells) => setStateValue("painted", { id: data.id, cells: toBase64(cells) });
    editor.load(data, weights.subarray(0, count), weights.subarray(count), picture);
  },
);
