// One image, and over it the row of a large map that the position under the pointer has.
//
// The image comes once. Rows are asked for one at a time over the wire (rows_wire.js): while one is under way only the
// newest position waits, and what was told once is kept, so that a way back asks for nothing.

const MOST_PINS = 3;
const MOST_KNOWN = 300; // rows kept: of 256 x 256 positions 75 MB
const BETWEEN_MS = 40; // two questions
const LOST_MS = 5000; // after this a question is asked again

const mounted = new WeakMap();

export default function ({ data, parentElement }) {
  let rows = mounted.get(parentElement);
  if (!rows) {
    rows = new Rows(parentElement.querySelector(".rows"));
    mounted.set(parentElement, rows);
  }
  rows.load(data);
  return () => {
    mounted.delete(parentElement);
    rows.destroy();
  };
}

class Rows {
  constructor(root) {
    this.root = root;
    this.state = rowsFromLink(window.location.search, MOST_PINS);
    this.look = { colours: "viridis", stretched: false, opacity: 0.7 };
    this.known = new Map();
    this.pointer = null;
    this.askedAt = 0;
    this.abort = new AbortController();
    document.addEventListener("attnlab:rows-told", (event) => this.hear(event.detail), { signal: this.abort.signal });
    this.resize = new ResizeObserver(() => this.schedule());
    this.resize.observe(root);
    this.build();
  }

  destroy() {
    this.abort.abort();
    this.resize.disconnect();
    cancelAnimationFrame(this.frame);
    for (const timer of [this.askTimer, this.lostTimer, this.linkTimer]) clearTimeout(timer);
    this.root.replaceChildren();
  }

  load(data) {
    if (this.id === data.id) return;
    this.id = data.id;
    this.layers = data.layers;
    this.size = data.size;
    this.image = paintImage(data.bytes.getChildAt(0).toArray(), data.size);
    this.known.clear();
    this.underWay = null;
    this.last = null;
    this.state.layer = Math.min(this.state.layer, this.layers.length - 1);
    this.fillChoices();
    this.set({});
  }

  get layer() {
    return this.layers[this.state.layer];
  }

  // Where a position is pointed at, and where the weights lie.
  get pointedGrid() {
    return this.state.column ? this.layer.key_grid : this.layer.grid;
  }

  get shownGrid() {
    return this.state.column ? this.layer.grid : this.layer.key_grid;
  }

  // ---- asking ----------------------------------------------------------------------------------------------------

  question(place) {
    const [row, col] = cellAt(place, this.pointedGrid);
    return { layer: this.state.layer, row, col, column: this.state.column, head: this.state.head };
  }

  nameOf({ layer, row, col, column, head }) {
    return [layer, row, col, column, head].join();
  }

  answerTo(place) {
    return this.known.get(this.nameOf(this.question(place)));
  }

  pump() {
    const next = [this.state.cursor, ...this.state.pins].find((place) => !this.answerTo(place));
    if (!next || this.underWay) return;
    clearTimeout(this.askTimer);
    const early = this.askedAt + BETWEEN_MS - performance.now();
    if (early > 0) {
      this.askTimer = setTimeout(() => this.pump(), early);
      return;
    }
    const question = this.question(next);
    const detail = { id: this.id, question, heard: false };
    document.dispatchEvent(new CustomEvent("attnlab:rows-ask", { detail }));
    if (!detail.heard) return; // the wire is not there yet; it says when it is
    this.askedAt = performance.now();
    this.underWay = this.nameOf(question);
    clearTimeout(this.lostTimer);
    this.lostTimer = setTimeout(() => {
      this.underWay = null;
      this.pump();
    }, LOST_MS);
  }

  hear({ id, answer }) {
    if (id !== this.id) return;
    if (answer) {
      const [row, col] = answer.place;
      const name = this.nameOf({ ...answer, row, col, head: answer.head ?? -1 });
      const layer = this.layers[answer.layer];
      this.known.set(name, readAnswer(answer, answer.column ? layer.grid : layer.key_grid));
      if (this.known.size > MOST_KNOWN) this.known.delete(this.known.keys().next().value);
      if (this.underWay === name) this.underWay = null;
    }
    this.schedule();
    this.pump();
  }

  // ---- changes ---------------------------------------------------------------------------------------------------

  set(change) {
    Object.assign(this.state, change);
    this.state.head = Math.min(this.state.head, this.layer.heads - 1);
    this.pump();
    this.schedule();
    clearTimeout(this.linkTimer);
    this.linkTimer = setTimeout(() => {
      window.history.replaceState(window.history.state, "", linkWithRows(window.location.href, this.state));
    }, 200);
  }

  show(change) {
    Object.assign(this.look, change);
    this.schedule();
  }

  // The position is kept as the middle of its cell, so that it means the same on the other grid.
  point(place) {
    this.set({ cursor: middleOf(cellAt(place, this.pointedGrid), this.pointedGrid) });
  }

  pin() {
    const { cursor, pins } = this.state;
    const same = (place) => this.nameOf(this.question(place)) === this.nameOf(this.question(cursor));
    this.set({ pins: pins.some(same) ? pins.filter((place) => !same(place)) : [...pins, { ...cursor }].slice(-MOST_PINS) });
  }

  onKey(event) {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const { state } = this;
    if (by) {
      const [row, column] = cellAt(state.cursor, this.pointedGrid);
      const far = event.shiftKey ? 4 : 1;
      this.pointer = null;
      this.point(middleOf([row + far * by[0], column + far * by[1]], this.pointedGrid));
    } else if (event.key === "Enter" || event.key === " ") this.pin();
    else if (event.key === "Escape" && state.pins.length) this.set({ pins: [] });
    else if (event.key === "c") this.set({ column: !state.column });
    else if (event.key === "h" && this.layer.heads > 1) this.set({ head: state.head + 1 < this.layer.heads ? state.head + 1 : -1 });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- drawing ---------------------------------------------------------------------------------------------------

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.layers || !this.root.clientWidth) return;
    const { state, look } = this;
    this.layerInput.value = String(state.layer);
    this.headInput.value = String(state.head);
    this.layerInput.parentNode.hidden = this.layers.length < 2;
    this.headInput.parentNode.hidden = this.layer.heads < 2;
    this.sides.forEach(([column, button]) => button.setAttribute("aria-pressed", String(column === state.column)));
    const rgb = colourTable(look.colours);
    const stops = [0, 64, 128, 192, 255].map((at) => `rgb(${rgb.slice(3 * at, 3 * at + 3).join(" ")})`);
    this.ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    this.low.textContent = look.stretched ? "least of each row" : "0";
    this.high.textContent = look.stretched ? "greatest of each row (stretched)" : `${SOFTMAX_TOP} × uniform or more`;
    this.stages.forEach((stage, at) => this.drawStage(stage, at ? state.pins[at - 1] : state.cursor, at));
    this.clear.hidden = !state.pins.length;
  }

  drawStage(stage, place, at) {
    stage.figure.hidden = !place;
    if (!place) return;
    const { canvas } = stage;
    const wide = Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2)) || 320;
    const tall = Math.round((wide * this.size[0]) / this.size[1]);
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
    canvas.style.aspectRatio = `${this.size[1]} / ${this.size[0]}`;
    const told = this.answerTo(place);
    const answer = told ?? (at ? null : this.last);
    if (told && !at) this.last = told;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 1;
    context.drawImage(this.image, 0, 0, wide, tall);
    if (answer) {
      context.globalAlpha = told ? this.look.opacity : this.look.opacity / 2; // an older row, while the new one is under way
      context.drawImage(paintRow(answer, this.look.colours, this.look.stretched), 0, 0, wide, tall);
      context.globalAlpha = 1;
    }
    const cell = cellAt(place, this.pointedGrid);
    if (this.pointer && at) markCross(context, this.pointer, canvas);
    markCell(context, cell, this.pointedGrid, canvas);
    this.say(stage, cell, told, at);
  }

  say(stage, cell, told, at) {
    const where = placeWords(cell);
    stage.words.textContent = this.state.column ? `Who looks at ${where}` : `What ${where} looks at`;
    if (!told) stage.numbers.textContent = "asking the server …";
    else {
      const { weights, grid, best, high } = told;
      const here = this.pointer ?? (at ? null : this.state.cursor);
      const [row, column] = here ? cellAt(here, grid) : [];
      const number = here ? `${timesUniform(weights[row * grid[1] + column])} ${this.pointer ? "under the pointer" : "on itself"} · ` : "";
      stage.numbers.textContent = `${number}most ${timesUniform(high)}, at ${placeWords([Math.floor(best / grid[1]), best % grid[1]])}`;
    }
    const [height, width] = this.pointedGrid;
    const map = this.layers.length > 1 ? `${this.layer.title}: ` : "";
    const words = `${map}${stage.words.textContent} (${height} × ${width} positions); ${stage.numbers.textContent}`;
    stage.canvas.setAttribute("aria-label", words);
  }

  // ---- the page --------------------------------------------------------------------------------------------------

  build() {
    const tools = make("div", "tools");
    this.layerInput = this.choice(tools, "Map", {}, (value) => this.set({ layer: Number(value) }));
    const sides = make("div", "sides");
    sides.setAttribute("role", "group");
    sides.setAttribute("aria-label", "Row or column");
    this.sides = [
      [false, "row: what it looks at"],
      [true, "column: who looks at it"],
    ].map(([column, words]) => [column, push(sides, words, () => this.set({ column }))]);
    tools.append(sides);
    this.headInput = this.choice(tools, "Head", {}, (value) => this.set({ head: Number(value) }));
    const names = Object.fromEntries(Object.entries(COLOUR_TABLES).map(([name, { title }]) => [name, title]));
    this.choice(tools, "Colours", names, (colours) => this.show({ colours }));
    const scales = { absolute: "absolute", row: "each row stretched" };
    this.choice(tools, "Scale", scales, (value) => this.show({ stretched: value === "row" }));
    const opacity = Object.assign(make("input"), { type: "range", min: 0, max: 1, step: 0.05, value: this.look.opacity });
    opacity.addEventListener("input", () => this.show({ opacity: Number(opacity.value) }));
    const label = make("label", "", "Opacity");
    label.append(opacity);
    this.clear = push(tools, "remove the pins", () => this.set({ pins: [] }));
    tools.insertBefore(label, this.clear);
    const stages = make("div", "stages");
    this.stages = Array.from({ length: 1 + MOST_PINS }, (_, at) => this.stage(stages, at));
    const scale = make("div", "scale");
    [this.low, this.ramp, this.high] = [make("span"), make("i"), make("span")];
    scale.append(this.low, this.ramp, this.high);
    const keys = "Keys on the picture: arrows move (with shift by four), Enter pins, c row or column, h head, Escape removes the pins.";
    this.root.replaceChildren(tools, stages, scale, make("p", "keys", keys));
  }

  stage(stages, at) {
    const figure = make("figure", at ? "pinned" : "");
    const [words, numbers] = [make("b"), make("span", "numbers")];
    const caption = make("figcaption");
    caption.append(words, numbers);
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    figure.append(canvas, caption);
    stages.append(figure);
    if (at) push(caption, "unpin", () => this.set({ pins: this.state.pins.filter((_, each) => each !== at - 1) }));
    else {
      canvas.tabIndex = 0;
      canvas.addEventListener("keydown", (event) => this.onKey(event));
      canvas.addEventListener("keyup", (event) => event.stopPropagation());
    }
    const move = (event) => {
      const box = canvas.getBoundingClientRect();
      this.pointer = { u: (event.clientX - box.left) / box.width, v: (event.clientY - box.top) / box.height };
      if (at) this.schedule();
      else this.point(this.pointer);
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerdown", move);
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.schedule();
    });
    if (!at) canvas.addEventListener("click", () => this.pin());
    return { figure, canvas, words, numbers };
  }

  choice(parent, words, options, change) {
    const select = make("select");
    fill(select, options);
    select.addEventListener("change", () => change(select.value));
    const label = make("label", "", words);
    label.append(select);
    parent.append(label);
    return select;
  }

  fillChoices() {
    fill(this.layerInput, Object.fromEntries(this.layers.map(({ title }, at) => [` ${at}`, title])));
    const most = Math.max(...this.layers.map(({ heads }) => heads));
    fill(this.headInput, { " -1": "mean of all", ...Object.fromEntries(Array.from({ length: most }, (_, at) => [` ${at}`, `head ${at + 1}`])) });
  }
}

// A leading space in a name keeps the order of names that are numbers.
function fill(select, options) {
  const nodes = Object.entries(options).map(([value, words]) => Object.assign(make("option", "", words), { value: value.trim() }));
  select.replaceChildren(...nodes);
}

function push(parent, words, action) {
  const button = make("button", "", words);
  button.type = "button";
  button.addEventListener("click", action);
  parent.append(button);
  return button;
}

function make(name, className = "", words = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (words) node.textContent = words;
  return node;
}
