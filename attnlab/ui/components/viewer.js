// Part 6 of the attention viewer: the viewer itself, and its two doors. `mountViewer` is the plain one (used by the
// offline hand-out); the default export is what Streamlit calls, again and again, with the same element.
//
// Maps arrive once. Every control changes `state`; the next animation frame draws it. Nothing is sent to the server
// while a person drags or hovers.

const FRAME_MS = 130; // of the time-lapse
const REST_MS = 1400; // at its end

export class Viewer {
  constructor(root, callbacks) {
    this.root = root;
    this.callbacks = callbacks;
    this.state = usualView();
    this.options = {};
    this.panels = [];
    this.cards = [];
    this.hover = null;
    this.lastHover = { u: 0.5, v: 0.5 };
    this.hoverChannel = null;
    this.helpShown = false;
    this.playing = false;
    this.frame = 0;
    this.abort = new AbortController();
    this.resize = new ResizeObserver(() => this.schedule());
    this.sight = new IntersectionObserver((entries) => {
      this.seen = entries[entries.length - 1].isIntersecting;
      if (this.seen && this.playing) this.schedule();
    });
    this.seen = true;
    this.sight.observe(root);
    this.resize.observe(root);
    const signal = this.abort.signal;
    root.addEventListener("keydown", (event) => this.onKey(event), { signal });
    root.addEventListener("keyup", (event) => event.stopPropagation(), { signal });
    document.addEventListener("attnlab:step", (event) => this.onStep(event.detail), { signal });
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.linkTimer);
    this.abort.abort();
    this.resize.disconnect();
    this.sight.disconnect();
    this.root.replaceChildren();
  }

  // ---- what is shown ------------------------------------------------------------------------------------------------

  load({ id, meta, bytes, options }) {
    if (this.id === id) {
      this.readTheme();
      this.schedule();
      return;
    }
    const first = this.id === undefined;
    this.id = id;
    this.options = options;
    this.compact = !!options.compact;
    this.panels = decodePanels(meta, bytes);
    this.steps = [...new Set(this.panels.flatMap((panel) => panel.steps))].sort((a, b) => a - b);
    this.nameLayers();
    if (first) {
      Object.assign(this.state, options.initial, options.link ? viewFromLink(window.location.search) : {});
      const still = window.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
      this.playing = !!options.autoplay && this.steps.length > 1 && !still;
      if (this.playing && this.state.step === null) this.state.step = this.steps[0];
    }
    this.state.layer = Math.min(this.state.layer, Math.max(this.layers.length - 1, 0));
    this.build();
    this.readTheme();
    this.schedule();
  }

  // One list of layers for all panels. Panels with the same taps are matched by name; others by how deep a tap lies.
  nameLayers() {
    const names = (panel) => panel.layers.map((layer) => layer.name).join("\n");
    const withMaps = this.panels.filter((panel) => panel.layers.length);
    const longest = withMaps.reduce((best, panel) => (panel.layers.length > best.length ? panel.layers : best), []);
    this.manyLayers = withMaps.some((panel) => names(panel) !== names(withMaps[0]));
    this.layers = longest;
  }

  layerOf(panel) {
    const count = panel.layers.length;
    if (!count) return null;
    if (!this.manyLayers || this.layers.length < 2) return panel.layers[Math.min(this.state.layer, count - 1)];
    return panel.layers[Math.round((this.state.layer * (count - 1)) / (this.layers.length - 1))];
  }

  get step() {
    return this.state.step ?? Infinity;
  }

  // The position under the pointer, else the one pinned last.
  get cursor() {
    return this.hover ?? this.state.pins.at(-1) ?? null;
  }

  // The positions a pairwise map is looked at from.
  focus() {
    return this.state.pins.length ? this.state.pins : [this.hover ?? this.lastHover];
  }

  build() {
    this.root.classList.toggle("compact", this.compact);
    this.root.replaceChildren();
    this.cards = this.panels.flatMap((panel) =>
      this.state.all && panel.layers.length ? panel.layers.map((layer, at) => new Card(this, panel, layer, at > 0)) : [new Card(this, panel)],
    );
    this.syncs = [];
    if (this.layers.length > 1) this.root.append(this.buildLayerBar());
    this.deck = element("div", this.cards.length === 1 ? "deck single" : "deck");
    this.deck.append(...this.cards.map((card) => card.root));
    this.root.append(this.deck);
    this.cards.forEach((card) => this.listen(card));
    if (this.steps.length > 1) this.root.append(this.buildTimeBar());
    this.spoken = element("p", "spoken");
    this.spoken.setAttribute("aria-live", "polite");
    if (!this.compact) {
      const dock = buildDock(this);
      this.help = this.buildHelp();
      (this.cards.length === 1 ? this.cards[0].side : this.root).append(dock.node);
      this.root.append(this.help);
      this.syncs.push(dock.sync);
    }
    this.root.append(this.spoken);
  }

  buildLayerBar() {
    const bar = element("div", "layers");
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Map");
    const buttons = this.layers.map((layer, index) => {
      const button = element("button", "", layer.title);
      button.type = "button";
      button.title = `${layer.title}: ${KIND_WORDS[layer.kind]}`;
      button.addEventListener("click", () => this.showLayer(index));
      return button;
    });
    const all = element("button", "every", "all side by side");
    all.type = "button";
    all.addEventListener("click", () => this.showAll(!this.state.all));
    bar.append(...buttons, all);
    this.syncs.push(() => {
      buttons.forEach((button, index) => {
        button.setAttribute("aria-pressed", String(!this.state.all && this.state.layer === index));
      });
      all.setAttribute("aria-pressed", String(this.state.all));
    });
    return bar;
  }

  buildTimeBar() {
    const bar = element("div", "time");
    const play = element("button", "play");
    play.type = "button";
    play.addEventListener("click", () => this.play(!this.playing));
    const input = element("input");
    Object.assign(input, { type: "range", min: 0, max: this.steps.length - 1, step: 1 });
    input.setAttribute("aria-label", "Training step");
    input.addEventListener("input", () => {
      this.playing = false;
      this.toStep(Number(input.value));
    });
    input.addEventListener("change", () => this.commit());
    const output = element("output");
    bar.append(play, input, output);
    this.syncs.push(() => {
      const at = this.stepIndex();
      if (input.value !== String(at)) input.value = String(at);
      fillTrack(input);
      const words = `step ${this.steps[at].toLocaleString("en")} of ${this.steps.at(-1).toLocaleString("en")}`;
      if (output.textContent !== words) {
        output.textContent = words;
        input.setAttribute("aria-valuetext", words);
      }
      const mark = this.playing ? "❙❙" : "▶";
      if (play.textContent !== mark) {
        play.textContent = mark;
        play.setAttribute("aria-label", this.playing ? "Pause" : "Play the training");
      }
    });
    return bar;
  }

  buildHelp() {
    const help = element("dl", "help");
    help.hidden = !this.helpShown;
    for (const [keys, words] of KEYS) help.append(element("dt", "", keys), element("dd", "", words));
    return help;
  }

  readTheme() {
    const style = getComputedStyle(this.root);
    const colour = (name, usual) => style.getPropertyValue(name).trim() || usual;
    this.theme = {
      text: colour("--st-text-color", "#222"),
      border: colour("--st-border-color", "#ccc"),
      faint: colour("--st-secondary-background-color", "#eee"),
      font: colour("--st-font", "sans-serif"),
    };
    this.root.style.colorScheme = isDark(colour("--st-background-color", "#fff")) ? "dark" : "light"; // for sliders and menus
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      this.draw(now);
    });
  }

  draw(now) {
    if (!this.theme) return;
    if (this.playing) this.advance(now);
    for (const card of this.cards) card.draw();
    for (const sync of this.syncs) sync();
    this.callbacks.onDraw?.(performance.now() - now);
    if (this.playing && this.seen) this.schedule();
  }

  advance(now) {
    const at = this.stepIndex();
    const last = at === this.steps.length - 1;
    this.nextAt ??= now + FRAME_MS;
    if (now < this.nextAt) return;
    this.toStep(last ? 0 : at + 1);
    this.nextAt = now + (at + 1 === this.steps.length - 1 ? REST_MS : FRAME_MS);
  }

  // ---- changes ------------------------------------------------------------------------------------------------------

  set(change, done = false) {
    Object.assign(this.state, change);
    this.schedule();
    if (done) this.commit();
  }

  // A gesture has ended: the link follows, and whoever asked for it is told.
  commit() {
    this.callbacks.onView?.(structuredClone(this.state));
    if (!this.options.link) return;
    clearTimeout(this.linkTimer);
    this.linkTimer = setTimeout(() => {
      window.history.replaceState(window.history.state, "", linkWithView(window.location.href, this.state));
    }, 150);
  }

  showLayer(index) {
    const rebuild = this.state.all;
    this.hoverChannel = null;
    this.set({ layer: Math.min(Math.max(index, 0), this.layers.length - 1), all: false }, true);
    if (rebuild) this.build();
  }

  showAll(all) {
    this.set({ all }, true);
    this.build();
  }

  stepIndex() {
    return momentAt(this.steps, this.step);
  }

  toStep(index) {
    const step = this.steps[Math.min(Math.max(index, 0), this.steps.length - 1)];
    this.set({ step: step === this.steps.at(-1) ? null : step });
    if (this.options.sync) {
      document.dispatchEvent(new CustomEvent("attnlab:step", { detail: { group: this.options.sync, source: this, step } }));
    }
  }

  // Another view of the same run (the loss curve) points at a step.
  onStep({ group, source, step }) {
    if (!this.options.sync || group !== this.options.sync || source === this) return;
    this.playing = false;
    this.set({ step });
  }

  play(on) {
    this.playing = on && this.steps.length > 1;
    this.nextAt = undefined;
    this.schedule();
    if (!on) this.commit();
  }

  toggleHelp() {
    this.helpShown = !this.helpShown;
    this.help.hidden = !this.helpShown;
    this.schedule();
  }

  async copyLink(button) {
    const href = linkWithView(window.location.href, this.state);
    const said = button.textContent;
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(href);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = said), 1500);
      return;
    }
    const field = element("input", "href"); // without a secure page there is no clipboard: offer the text
    field.value = href;
    field.readOnly = true;
    field.addEventListener("blur", () => field.remove());
    button.before(field);
    field.select();
  }

  // ---- pointer ------------------------------------------------------------------------------------------------------

  listen(card) {
    const place = (event) => {
      const box = card.stage.getBoundingClientRect();
      const share = (at, size) => Math.min(Math.max(at / size, 0), 0.9999);
      return { u: share(event.clientX - box.left, box.width), v: share(event.clientY - box.top, box.height) };
    };
    const move = (event) => {
      this.hover = this.lastHover = place(event);
      this.schedule();
    };
    card.stage.addEventListener("pointerdown", move);
    card.stage.addEventListener("pointermove", move);
    card.stage.addEventListener("pointerleave", () => {
      this.hover = null;
      this.schedule();
    });
    card.stage.addEventListener("click", (event) => this.pin(place(event), event.shiftKey));
    const channel = (event) => {
      const box = card.strip.getBoundingClientRect();
      return card.channelAt(event.clientX - box.left, event.clientY - box.top);
    };
    const point = (event) => {
      this.hoverChannel = channel(event);
      this.schedule();
    };
    card.strip.addEventListener("pointerdown", point);
    card.strip.addEventListener("pointermove", point);
    card.strip.addEventListener("pointerleave", () => {
      this.hoverChannel = null;
      this.schedule();
    });
    card.strip.addEventListener("click", (event) => {
      if (card.layer.kind === "element") this.set({ channel: channel(event) }, true);
    });
  }

  // Pins a position, or takes the pin away that is already there.
  pin(at, more) {
    const same = (other) => Math.hypot(other.u - at.u, other.v - at.v) < 0.02;
    const { pins } = this.state;
    if (pins.some(same)) this.set({ pins: pins.filter((other) => !same(other)) }, true);
    else this.set({ pins: more ? [...pins, at] : [at] }, true);
  }

  // ---- keyboard -----------------------------------------------------------------------------------------------------

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.composedPath()[0].tagName;
    if (tag === "SELECT" || (tag === "INPUT" && /^(Arrow|Home|End|Page|Tab)/.test(event.key))) return;
    if (tag === "BUTTON" && (event.key === "Enter" || event.key === " ")) return;
    const action = this.actionOf(event);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation(); // the app has its own single keys, such as c and r
    action();
    const card = this.cards.find((each) => each.stage === event.composedPath()[0]) ?? this.cards[0];
    card.prepare();
    this.spoken.textContent = card.readoutWords();
  }

  actionOf({ key, shiftKey }) {
    const { state } = this;
    const shift = (name, by) => () => {
      const [, , read] = VIEW[name];
      this.set({ [name]: read(String(Number((state[name] + by).toFixed(3)))) }, true);
    };
    const next = (name, values) => () => this.set({ [name]: values[(values.indexOf(state[name]) + 1) % values.length] }, true);
    const flip = (name) => () => this.set({ [name]: !state[name] }, true);
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (key in moves) return () => this.nudge(...moves[key]);
    const steps = this.steps.length > 1;
    const actions = {
      Enter: () => this.pin(this.cursor ?? this.lastHover, shiftKey),
      p: () => this.pin(this.cursor ?? this.lastHover, false),
      P: () => this.pin(this.cursor ?? this.lastHover, true),
      Escape: () => this.set({ pins: [] }, true),
      x: () => this.set({ pins: [] }, true),
      "[": () => this.showLayer(state.layer - 1),
      "]": () => this.showLayer(state.layer + 1),
      a: this.layers.length > 1 && (() => this.showAll(!state.all)),
      ",": steps && (() => this.toStep(this.stepIndex() - 1)),
      ".": steps && (() => this.toStep(this.stepIndex() + 1)),
      " ": steps && (() => this.play(!this.playing)),
      o: shift("opacity", -0.05),
      O: shift("opacity", 0.05),
      t: shift("threshold", -0.05),
      T: shift("threshold", 0.05),
      g: () => this.set({ gamma: Math.max(state.gamma / 1.1, 0.25) }, true),
      G: () => this.set({ gamma: Math.min(state.gamma * 1.1, 4) }, true),
      c: next("colours", Object.keys(COLOUR_TABLES)),
      b: next("blend", ["heat", "reveal", "contour"]),
      s: next("scope", Object.keys(SCOPES)),
      v: next("pair", ["row", "column", "entropy"]),
      n: shift("near", -1),
      N: shift("near", 1),
      i: flip("smooth"),
      h: flip("sorted"),
      m: flip("mask"),
      0: () => this.set({ ...usualView(), layer: state.layer, all: state.all }, true),
      "?": this.compact ? null : () => this.toggleHelp(),
    };
    return Object.hasOwn(actions, key) ? actions[key] : null;
  }

  // Moves the cross-hair by one cell of the map that is shown, or the mark by one channel.
  nudge(dx, dy) {
    const card = this.cards[0];
    card.prepare();
    if (!card.field && card.cache.gates) {
      const from = this.hoverChannel ?? card.channelBeside(0, -Infinity);
      this.hoverChannel = this.hoverChannel === null ? from : card.channelBeside(from, dx + dy);
      this.schedule();
      return;
    }
    const [tall, wide] = card.field ? [card.field.height, card.field.width] : [card.panel.height, card.panel.width];
    const held = (value) => Math.min(Math.max(value, 0.0001), 0.9999);
    const { u, v } = this.cursor ?? this.lastHover;
    const at = { u: held(u + dx / wide), v: held(v + dy / tall) };
    this.hoverChannel = null;
    this.hover = this.lastHover = at;
    if (this.state.pins.length === 1) this.state.pins = [at];
    this.schedule();
    this.commit();
  }
}

// Puts a viewer into an element. `payload` is {id, meta, bytes, options}; `callbacks` are onView(view) after each
// gesture and onDraw(milliseconds) after each frame, both optional. Returns the viewer; call `load` for other maps.
export function mountViewer(root, payload, callbacks = {}) {
  root.classList.add("attention-viewer");
  const viewer = new Viewer(root, callbacks);
  viewer.load(payload);
  return viewer;
}

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".attention-viewer");
  const payload = { id: data.id, meta: data.meta, options: data.options };
  let viewer = mounted.get(parentElement);
  if (viewer?.id !== data.id) payload.bytes = data.bytes.getChildAt(0).toArray();
  if (!viewer) {
    const callbacks = data.options.measure ? { onDraw: (spent) => (root.dataset.spent = spent) } : {};
    viewer = mountViewer(root, payload, callbacks);
    mounted.set(parentElement, viewer);
  } else {
    viewer.load(payload);
  }
  viewer.callbacks.onView = data.options.report ? (view) => setStateValue("view", view) : undefined;
  return () => {
    viewer.destroy();
    mounted.delete(parentElement);
  };
}
