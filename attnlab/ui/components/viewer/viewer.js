// A part of the attention viewer: the viewer itself, what it shows and how that changes.
//
// Maps arrive once. Every control changes `state`; the next animation frame draws it. Nothing is sent to the server
// while a person drags or hovers.

const FRAME_MS = 130; // of the time-lapse
const REST_MS = 1400; // at its end
const CARD_PIXELS = 216; // the least width of one of several cards, with the gap
const TELLING_POSITIONS = 16; // a map with fewer cells says little of where

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
    if (this.state.layer !== null) this.state.layer = Math.min(this.state.layer, Math.max(this.layers.length - 1, 0));
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
    if (!this.manyLayers || this.layers.length < 2) return panel.layers[Math.min(this.layerIndex, count - 1)];
    return panel.layers[Math.round((this.layerIndex * (count - 1)) / (this.layers.length - 1))];
  }

  // The chosen layer; until one is chosen the deepest that can be laid over the picture and has enough positions to show a
  // place, else the deepest that can be laid over it at all.
  get layerIndex() {
    if (this.state.layer !== null) return this.state.layer;
    const overlays = (fewest) => this.layers.findLastIndex(({ kind, grid }) => kind !== "channel" && grid[0] * grid[1] >= fewest);
    const telling = overlays(TELLING_POSITIONS);
    return Math.max(0, telling < 0 ? overlays(1) : telling);
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
    this.columns = 0;
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

  readTheme() {
    const style = getComputedStyle(this.root);
    const colour = (name, usual) => style.getPropertyValue(name).trim() || usual;
    this.theme = {
      text: colour("--st-text-color", "#222"),
      border: colour("--st-border-color", "#ccc"),
      faint: colour("--st-secondary-background-color", "#eee"),
      hidden: colour("--st-gray-color", "#8a949c"),
      window: colour("--st-blue-background-color", colour("--st-secondary-background-color", "#eee")),
      background: colour("--st-background-color", "#fff"),
      font: colour("--st-font", "sans-serif"),
    };
    this.look = JSON.stringify(this.theme);
    this.root.style.colorScheme = isDark(colour("--st-background-color", "#fff")) ? "dark" : "light"; // for sliders and menus
  }

  // As many cards in a row as fit, the rows evenly filled.
  spread() {
    const fitting = Math.max(1, Math.floor((this.root.clientWidth + 16) / CARD_PIXELS));
    const rows = Math.ceil(this.cards.length / fitting);
    const columns = Math.ceil(this.cards.length / rows);
    if (this.columns !== columns) this.deck.style.setProperty("--columns", String(columns));
    this.columns = columns;
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
    if (!this.theme || !this.root.clientWidth) return;
    this.spread();
    for (const card of this.cards) card.measure();
    if (this.playing) this.advance(now);
    for (const card of this.cards) card.draw();
    for (const sync of this.syncs) sync();
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

}
