// Two pictures of one map, as the network made it and as an operation left it, and a brush on the first.
//
// Python sends image and weights; cells are painted here and sent when the pointer or key is released, one byte a cell
// in base64: 0 left alone, 1 painted, 2 erased. The picture on the right follows with the server's answer.

const LEFT_ALONE = 0;
const PAINTED = 1;
const ERASED = 2;
const SIDE = 320; // longer side of a canvas in its own pixels
const OPACITY = 0.62;

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  let brush = mounted.get(parentElement);
  if (!brush) {
    brush = new Brush(parentElement.querySelector(".brush"));
    mounted.set(parentElement, brush);
  }
  brush.send = (cells) => setStateValue("painted", { id: data.id, cells: toBase64(cells) });
  brush.load(data);
  return () => mounted.delete(parentElement);
}

class Brush {
  constructor(root) {
    this.root = root;
    this.mode = PAINTED;
    this.size = 3;
    this.build();
  }

  // ---- what is shown ----------------------------------------------------------------------------------------------

  load(data) {
    const bytes = data.bytes.getChildAt(0).toArray();
    const count = data.grid[0] * data.grid[1];
    const floats = new Float32Array(bytes.slice(0, 8 * count).buffer);
    const fresh = this.id !== data.id;
    this.id = data.id;
    this.data = data;
    this.before = floats.subarray(0, count);
    this.after = floats.subarray(count);
    this.pixels = bytes.subarray(8 * count);
    if (fresh) {
      this.cells = data.painted ? fromBase64(data.painted) : new Uint8Array(count);
      this.history = [];
      this.cursor = null;
      this.picture = data.size[0] ? this.drawImage() : null;
      const [height, width] = data.size[0] ? data.size : data.grid;
      for (const { canvas } of this.stages) {
        canvas.width = Math.round((SIDE * width) / Math.max(width, height));
        canvas.height = Math.round((SIDE * height) / Math.max(width, height));
      }
    }
    this.root.classList.toggle("painting", data.paintable);
    this.tools.hidden = this.keys.hidden = !data.paintable;
    this.low.textContent = "0";
    this.high.textContent = data.softmax ? `${data.top} × uniform or more` : "gate 1";
    this.ramp.style.background = `linear-gradient(to right, ${[0, 64, 128, 192, 255].map((at) => this.css(at)).join(", ")})`;
    this.stages.forEach((stage, side) => {
      stage.words.textContent = side ? "after the operation" : "as the network made it";
      const what = side === 0 && data.paintable ? "; paint with the pointer, or arrows and space" : "";
      stage.canvas.setAttribute("aria-label", `${data.label}, ${stage.words.textContent}${what}`);
    });
    this.draw();
    this.say();
  }

  css(at) {
    return `rgb(${COLOURS.slice(3 * at, 3 * at + 3).join(" ")})`;
  }

  drawImage() {
    const [height, width] = this.data.size;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const image = new ImageData(width, height);
    for (let i = 0, from = 0; i < image.data.length; i += 4, from += 3) {
      image.data.set(this.pixels.subarray(from, from + 3), i);
      image.data[i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  draw() {
    this.drawSide(0, this.before);
    this.drawSide(1, this.after);
    this.undo.disabled = !this.history.length;
    this.clear.disabled = !this.cells.some((cell) => cell !== LEFT_ALONE);
    this.buttons.forEach(([mode, button]) => button.setAttribute("aria-pressed", String(mode === this.mode)));
    this.sizeInput.value = String(this.size);
    this.sizeWords.textContent = String(this.size);
  }

  drawSide(side, values) {
    const { canvas } = this.stages[side];
    const context = canvas.getContext("2d");
    const [height, width] = this.data.grid;
    const map = Object.assign(document.createElement("canvas"), { width, height });
    const image = new ImageData(width, height);
    values.forEach((value, at) => {
      const level = Math.round(Math.min(Math.max(value / this.data.top, 0), 1) * 255);
      image.data.set(COLOURS.subarray(3 * level, 3 * level + 3), 4 * at);
      image.data[4 * at + 3] = 255;
    });
    map.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 1;
    if (this.picture) context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = this.picture ? OPACITY : 1;
    context.drawImage(map, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
    if (side === 0 && this.data.paintable) this.drawCells(context, canvas);
    if (this.cursor) this.drawCursor(context, canvas, side);
  }

  // Painted cells carry a bright dot, erased ones are crossed out: to be told apart without colours.
  drawCells(context, canvas) {
    const [height, width] = this.data.grid;
    const wide = canvas.width / width;
    const tall = canvas.height / height;
    this.cells.forEach((cell, at) => {
      if (cell === LEFT_ALONE) return;
      const x = (at % width) * wide;
      const y = Math.floor(at / width) * tall;
      context.fillStyle = cell === PAINTED ? "rgb(255 255 255 / 0.75)" : "rgb(0 0 0 / 0.78)";
      context.fillRect(x, y, Math.ceil(wide), Math.ceil(tall));
      context.strokeStyle = "#fff";
      context.lineWidth = 1;
      if (cell === ERASED && wide > 5) {
        context.beginPath();
        context.moveTo(x + 2, y + 2);
        context.lineTo(x + wide - 2, y + tall - 2);
        context.stroke();
      }
    });
  }

  drawCursor(context, canvas, side) {
    const [height, width] = this.data.grid;
    const reach = side === 0 && this.data.paintable ? Math.floor((this.size - 1) / 2) : 0;
    const extra = side === 0 && this.data.paintable ? (this.size - 1) % 2 : 0;
    const wide = canvas.width / width;
    const tall = canvas.height / height;
    const [row, column] = this.cursor;
    const box = [(column - reach) * wide, (row - reach) * tall, (2 * reach + 1 + extra) * wide, (2 * reach + 1 + extra) * tall];
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.strokeRect(...box);
    context.lineWidth = 1.5;
    context.strokeStyle = "#fff";
    context.strokeRect(...box);
  }

  say() {
    const { grid, softmax, channels, paintable } = this.data;
    if (!this.cursor) {
      this.readout.textContent = paintable ? "Paint on the left picture." : "";
      return;
    }
    const [row, column] = this.cursor;
    const at = row * grid[1] + column;
    const place = channels ? `channel ${at}` : `row ${row}, column ${column}`;
    const [before, after] = [this.before[at], this.after[at]].map((value) => value.toFixed(2));
    this.readout.textContent = `${place} · ${softmax ? "" : "gate "}${before} → ${after}${softmax ? " × uniform" : ""}`;
  }

  // ---- painting ---------------------------------------------------------------------------------------------------

  cellAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const [height, width] = this.data.grid;
    const within = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    return [within((event.clientY - box.top) / box.height, height), within((event.clientX - box.left) / box.width, width)];
  }

  remember() {
    this.history.push(this.cells.slice());
    if (this.history.length > 50) this.history.shift();
  }

  // A square of `size` cells at each place between the last one and this one.
  stroke(from, to) {
    const [height, width] = this.data.grid;
    const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
    const reach = Math.floor((this.size - 1) / 2);
    for (let step = 0; step <= steps; step++) {
      const row = Math.round(from[0] + ((to[0] - from[0]) * step) / steps);
      const column = Math.round(from[1] + ((to[1] - from[1]) * step) / steps);
      for (let r = Math.max(0, row - reach); r < Math.min(height, row - reach + this.size); r++) {
        this.cells.fill(this.mode, r * width + Math.max(0, column - reach), r * width + Math.min(width, column - reach + this.size));
      }
    }
  }

  release() {
    if (!this.last) return;
    this.last = null;
    this.send(this.cells);
    this.draw();
  }

  back() {
    const cells = this.history.pop();
    if (!cells) return;
    this.cells = cells;
    this.send(cells);
    this.draw();
  }

  wipe() {
    if (this.clear.disabled) return;
    this.remember();
    this.cells = new Uint8Array(this.cells.length);
    this.send(this.cells);
    this.draw();
  }

  choose(mode) {
    this.mode = mode;
    this.draw();
  }

  resize(size) {
    this.size = Math.min(Math.max(size, 1), 9);
    this.draw();
  }

  onKey(event, side) {
    const [height, width] = this.data.grid;
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const paints = side === 0 && this.data.paintable;
    if (by) {
      const from = this.cursor ?? [Math.floor(height / 2), Math.floor(width / 2)];
      const held = (value, count) => Math.min(Math.max(value, 0), count - 1);
      this.cursor = [held(from[0] + by[0], height), held(from[1] + by[1], width)];
      if (this.last) this.stroke(this.last, (this.last = this.cursor));
    } else if (paints && event.key === " ") {
      this.cursor ??= [Math.floor(height / 2), Math.floor(width / 2)];
      if (!this.last) {
        this.remember();
        this.last = this.cursor;
        this.stroke(this.last, this.last);
      }
    } else if (paints && (event.key === "u" || (event.key === "z" && (event.ctrlKey || event.metaKey)))) this.back();
    else if (paints && event.key === "Delete") this.wipe();
    else if (paints && event.key === "p") this.choose(PAINTED);
    else if (paints && event.key === "e") this.choose(ERASED);
    else if (paints && (event.key === "[" || event.key === "]")) this.resize(this.size + (event.key === "]" ? 1 : -1));
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.draw();
    this.say();
  }

  // ---- the page ---------------------------------------------------------------------------------------------------

  build() {
    const stages = make("div", "stages");
    this.stages = [0, 1].map((side) => {
      const figure = make("figure");
      const canvas = make("canvas");
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "img");
      const words = make("figcaption");
      figure.append(words, canvas);
      stages.append(figure);
      this.listen(canvas, side);
      return { canvas, words };
    });
    this.tools = make("div", "tools");
    this.tools.setAttribute("role", "toolbar");
    this.tools.setAttribute("aria-label", "Brush");
    this.buttons = [
      [PAINTED, this.push("paint", () => this.choose(PAINTED))],
      [ERASED, this.push("erase", () => this.choose(ERASED))],
    ];
    this.sizeInput = Object.assign(make("input"), { type: "range", min: 1, max: 9, step: 1 });
    this.sizeInput.setAttribute("aria-label", "Brush size in cells");
    this.sizeInput.addEventListener("input", () => this.resize(Number(this.sizeInput.value)));
    this.sizeWords = make("output");
    this.undo = this.push("undo", () => this.back());
    this.clear = this.push("clear", () => this.wipe());
    const size = make("label", "", "size");
    size.append(this.sizeInput, this.sizeWords);
    this.tools.append(...this.buttons.map(([, button]) => button), size, this.undo, this.clear);
    const scale = make("div", "scale");
    [this.low, this.ramp, this.high] = [make("span"), make("i"), make("span")];
    scale.append(this.low, this.ramp, this.high);
    this.readout = make("p", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.keys = make("p", "keys", "Keys on the left picture: arrows move, space paints, p paint, e erase, [ ] size, u undo, Delete clear.");
    this.root.replaceChildren(stages, this.readout, this.tools, scale, this.keys);
  }

  push(words, action) {
    const button = make("button", "", words);
    button.type = "button";
    button.addEventListener("click", action);
    return button;
  }

  listen(canvas, side) {
    const paints = () => side === 0 && this.data.paintable;
    canvas.addEventListener("pointerdown", (event) => {
      if (!paints() || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.cursor = this.cellAt(event);
      this.remember();
      this.last = this.cursor;
      this.stroke(this.last, this.last);
      this.draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      this.cursor = this.cellAt(event);
      if (paints() && this.last) this.stroke(this.last, (this.last = this.cursor));
      this.draw();
      this.say();
    });
    canvas.addEventListener("pointerup", () => this.release());
    canvas.addEventListener("pointercancel", () => this.release());
    canvas.addEventListener("pointerleave", () => {
      if (this.last) return;
      this.cursor = null;
      this.draw();
      this.say();
    });
    canvas.addEventListener("keydown", (event) => this.onKey(event, side));
    canvas.addEventListener("keyup", (event) => event.key === " " && this.release());
    canvas.addEventListener("blur", () => this.release());
  }
}

function make(name, className = "", words = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (words) node.textContent = words;
  return node;
}

function toBase64(cells) {
  return btoa(String.fromCharCode(...cells));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
