// @ts-check
// The attention viewer: what it shows, and how that changes.
//
// Maps arrive once. Every control changes `state`; the next animation frame draws it. Nothing is sent to the server
// while a person drags or hovers.
import { fromBase64 } from "../lib/base64.js";
import { isDark } from "../lib/colours.js";
import { element, find } from "../lib/dom.js";
import { MIDDLE } from "../lib/grid.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { hearSteps, tellStep } from "../lib/training_step.js";
import { buildLayerBar, buildTimeBar } from "./bars.js";
import { Card } from "./card.js";
import { buildControls } from "./controls.js";
import { layerBeside } from "./group.js";
import { buildHelp, onKey } from "./keyboard.js";
import { decodePanels } from "./payload.js";
import { listenToPointer } from "./pointer.js";
import { FRAME_MS, momentAt, REST_MS } from "./time_lapse.js";
import { linkWithView, usualView, viewFromLink } from "./view.js";

/** @import { PackedPanels } from "../../../viz/panels" */
/** @import { Place } from "../lib/grid.js" */
/** @import { Call, Column } from "../lib/mount.js" */
/** @import { Layer, Panel } from "./payload.js" */
/** @import { View } from "./view.js" */

const CARD_PIXELS = 216; // the least width of one of several cards, with the gap

/**
 * @typedef {object} Options
 * @property {boolean} [compact] only the pictures, their numbers and the time-lapse
 * @property {boolean} [autoplay]
 * @property {boolean} [link] the view is kept in the page's address
 * @property {string} [sync] a name shared with a chart of the same run
 * @property {Partial<View>} [initial] the view at first
 * @property {number} first the layer that is shown until one is chosen
 */
/**
 * @typedef {object} ViewerData
 * @property {string} id
 * @property {PackedPanels} meta
 * @property {Options} options
 * @property {boolean} [tells] the page is told which layer is shown
 */
/** @typedef {{ text: string, border: string, faint: string, hidden: string, window: string, background: string, font: string }} Theme */
/** @typedef {{ node: HTMLElement, sync: () => void }} Control sync: shows the state as it is now */

export class Viewer {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {string | null} of what is shown */
    this.id = null;
    this.state = usualView();
    /** @type {Options} */
    this.options = { first: 0 };
    this.compact = false;
    /** @type {Panel[]} */
    this.panels = [];
    /** @type {number[]} of all panels, in order */
    this.steps = [];
    /** @type {Layer[]} that can be chosen */
    this.layers = [];
    this.manyLayers = false; // the panels' layers have different names

    /** @type {Card[]} */
    this.cards = [];
    this.columns = 0;
    /** @type {Control[]} */
    this.controls = [];
    this.deck = element("div");
    this.help = buildHelp();
    this.spoken = element("p", "spoken");
    this.spoken.setAttribute("aria-live", "polite");
    this.theme = themeOf(root);
    this.look = "";

    /** @type {Place | null} under the pointer */
    this.hover = null;
    /** @type {Place | null} */
    this.lastHover = null;
    /** @type {number | null} */
    this.hoverChannel = null;

    this.playing = false;
    this.nextAt = 0; // when the next step of the time-lapse is due
    this.visible = true;
    this.frame = 0;
    this.linkTimer = 0;
    /** @type {(names: string[]) => void} tells the page */
    this.send = () => {};
    this.tells = false;
    this.told = ""; // what the page was told last
    this.abort = new AbortController();
    this.resize = new ResizeObserver(() => this.schedule());
    this.resize.observe(root);
    this.sight = new IntersectionObserver((entries) => {
      this.visible = entries[entries.length - 1].isIntersecting;
      if (this.visible && this.playing) this.schedule();
    });
    this.sight.observe(root);
    const { signal } = this.abort;
    root.addEventListener("keydown", (event) => onKey(this, event), { signal });
    root.addEventListener("keyup", (event) => event.stopPropagation(), { signal });
    hearSteps(this, () => this.options.sync ?? "", (step) => this.follow(step), signal);
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

  /**
   * Shows other panels; those that are shown already only follow the theme.
   * @param {ViewerData} data
   * @param {() => Uint8Array} bytes asked for only where they are needed
   */
  load({ id, meta, options, tells }, bytes) {
    if (this.id !== id) {
      const first = this.id === null;
      this.id = id;
      this.options = options;
      this.compact = !!options.compact;
      this.panels = decodePanels(meta, bytes());
      this.steps = [...new Set(this.panels.flatMap((panel) => panel.steps))].sort((a, b) => a - b);
      this.nameLayers();
      if (first) this.begin();
      if (this.state.layer !== null) this.state.layer = Math.min(this.state.layer, Math.max(this.layers.length - 1, 0));
      this.build();
    }
    this.tells = !!tells;
    this.tellLayers();
    this.readTheme();
    this.schedule();
  }

  /** Tells the page which layer of each panel is shown, where it asks for that and does not know it yet. */
  tellLayers() {
    const names = this.panels.map((panel) => this.layerOf(panel)?.name ?? "");
    if (!this.tells || this.told === names.join("\n")) return;
    this.told = names.join("\n");
    this.send(names);
  }

  /** The view at first: what the page asks for, then what the link holds. */
  begin() {
    const { initial, link, autoplay } = this.options;
    Object.assign(this.state, initial, link ? viewFromLink(window.location.search) : {});
    const still = window.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
    this.playing = !!autoplay && this.steps.length > 1 && !still;
    if (this.playing) this.state.step ??= this.steps[0];
  }

  /** One list of layers for all panels. Panels with the same taps are matched by name; others by how deep a tap lies. */
  nameLayers() {
    const names = (/** @type {Panel} */ panel) => panel.layers.map((layer) => layer.name).join("\n");
    const withMaps = this.panels.filter((panel) => panel.layers.length);
    this.manyLayers = withMaps.some((panel) => names(panel) !== names(withMaps[0]));
    this.layers = [];
    for (const { layers } of withMaps) if (layers.length > this.layers.length) this.layers = layers;
  }

  /**
   * The chosen layer in a panel; null where it has none.
   * @param {Panel} panel
   */
  layerOf(panel) {
    const count = panel.layers.length;
    if (!count) return null;
    if (!this.manyLayers || this.layers.length < 2) return panel.layers[Math.min(this.layerIndex, count - 1)];
    return layerBeside(this.layers, this.layers[this.layerIndex], panel.layers);
  }

  /** The chosen layer, until one is chosen the one that the page begins with. */
  get layerIndex() {
    return this.state.layer ?? Math.min(this.options.first, Math.max(this.layers.length - 1, 0));
  }

  /** Whether a map that is shown has a class token. */
  get hasClassToken() {
    return this.cards.some((card) => card.layer?.class_token);
  }

  get step() {
    return this.state.step ?? Infinity;
  }

  /** The position under the pointer, else the one pinned last. */
  get cursor() {
    return this.hover ?? this.state.pins.at(-1) ?? null;
  }

  /** The positions a pairwise map is looked at from; none until a person points at one: then its mean over all is shown. */
  focus() {
    const { pins, pair } = this.state;
    const at = this.hover ?? this.lastHover ?? (pair === "column" ? MIDDLE : null);
    return pins.length || !at ? pins : [at];
  }

  build() {
    const { all } = this.state;
    this.root.classList.toggle("compact", this.compact);
    this.cards = this.panels.flatMap((panel) =>
      all && panel.layers.length ? panel.layers.map((layer, at) => new Card(this, panel, layer, at > 0)) : [new Card(this, panel)],
    );
    this.cards.forEach((card) => listenToPointer(this, card));
    this.columns = 0;
    this.deck = element("div", this.cards.length === 1 ? "deck single" : "deck");
    this.deck.append(...this.cards.map((card) => card.root));
    const layerBar = this.layers.length > 1 ? [buildLayerBar(this)] : [];
    const timeBar = this.steps.length > 1 ? [buildTimeBar(this)] : [];
    const dock = this.compact ? [] : [buildControls(this)];
    this.controls = [...layerBar, ...timeBar, ...dock];
    const nodes = (/** @type {Control[]} */ controls) => controls.map(({ node }) => node);
    const [above, below] = this.compact ? [[], layerBar] : [layerBar, []]; // pictures of several small viewers stand level
    this.root.replaceChildren(...nodes(above), this.deck, ...nodes(timeBar), ...nodes(below));
    (this.cards.length === 1 ? this.cards[0].side : this.root).append(...nodes(dock));
    if (!this.compact) this.root.append(this.help);
    this.root.append(this.spoken);
  }

  readTheme() {
    this.theme = themeOf(this.root);
    this.look = JSON.stringify(this.theme);
    this.root.style.colorScheme = isDark(this.theme.background) ? "dark" : "light"; // for sliders and menus
  }

  /** As many cards in a row as fit, the rows evenly filled. */
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

  /** @param {number} now */
  draw(now) {
    if (this.id === null || !this.root.clientWidth) return;
    this.spread();
    for (const card of this.cards) card.measure();
    if (this.playing) this.advance(now);
    for (const card of this.cards) card.draw();
    for (const control of this.controls) control.sync();
    if (this.playing && this.visible) this.schedule();
  }

  /**
   * The time-lapse goes on when its next step is due.
   * @param {number} now
   */
  advance(now) {
    const at = this.stepIndex();
    const last = this.steps.length - 1;
    this.nextAt ||= now + FRAME_MS;
    if (now < this.nextAt) return;
    this.toStep(at === last ? 0 : at + 1);
    this.nextAt = now + (at + 1 === last ? REST_MS : FRAME_MS);
  }

  // ---- changes ------------------------------------------------------------------------------------------------------

  /**
   * @param {Partial<View>} change
   * @param {boolean} [done] whether the gesture has ended
   */
  set(change, done = false) {
    Object.assign(this.state, change);
    if (change.pins?.length === 0) this.lastHover = null; // looked at from nowhere again
    this.schedule();
    if (done) this.commit();
  }

  /** A gesture has ended: the link follows. */
  commit() {
    if (!this.options.link) return;
    clearTimeout(this.linkTimer);
    this.linkTimer = window.setTimeout(() => {
      window.history.replaceState(window.history.state, "", linkWithView(window.location.href, this.state));
    }, 150);
  }

  /** @param {number} index */
  showLayer(index) {
    const rebuild = this.state.all;
    this.hoverChannel = null;
    this.set({ layer: Math.min(Math.max(index, 0), this.layers.length - 1), all: false }, true);
    this.tellLayers();
    if (rebuild) this.build();
  }

  /** @param {boolean} all */
  showAll(all) {
    this.set({ all }, true);
    this.build();
  }

  /**
   * Pins a position, or removes the pin that is already there.
   * @param {Place} at
   * @param {boolean} more keeps the other pins
   */
  pin(at, more) {
    const same = (/** @type {Place} */ other) => Math.hypot(other.u - at.u, other.v - at.v) < 0.02;
    const { pins } = this.state;
    if (pins.some(same)) this.set({ pins: pins.filter((other) => !same(other)) }, true);
    else this.set({ pins: more ? [...pins, at] : [at] }, true);
  }

  stepIndex() {
    return momentAt(this.steps, this.step);
  }

  /** @param {number} index */
  toStep(index) {
    const step = this.steps[Math.min(Math.max(index, 0), this.steps.length - 1)];
    this.set({ step: step === this.steps.at(-1) ? null : step });
    tellStep(this, this.options.sync ?? "", step);
  }

  /**
   * The loss curve of the same run points at a step.
   * @param {number} step
   */
  follow(step) {
    this.playing = false;
    this.set({ step });
  }

  /** @param {boolean} on */
  play(on) {
    this.playing = on && this.steps.length > 1;
    this.nextAt = 0;
    this.schedule();
    if (!on) this.commit();
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
    this.schedule();
  }

  /** @param {HTMLButtonElement} button says when the link is copied */
  async copyLink(button) {
    const href = linkWithView(window.location.href, this.state);
    const text = button.textContent;
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(href);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = text), 1500);
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

/**
 * @param {HTMLElement} root
 * @returns {Theme}
 */
function themeOf(root) {
  const style = getComputedStyle(root);
  const colour = (/** @type {string} */ name, /** @type {string} */ usual) => style.getPropertyValue(name).trim() || usual;
  const faint = colour("--st-secondary-background-color", "#eee");
  return {
    text: colour("--st-text-color", "#222"),
    border: colour("--st-border-color", "#ccc"),
    faint,
    hidden: colour("--st-gray-color", "#8a949c"),
    window: colour("--st-blue-background-color", faint),
    background: colour("--st-background-color", "#fff"),
    font: colour("--st-font", "sans-serif"),
  };
}

/**
 * Puts a viewer into an element; for the offline page.
 * @param {HTMLElement} root
 * @param {ViewerData} data
 * @param {string} bytes of the panels, in base64
 */
export function mountViewer(root, data, bytes) {
  root.classList.add("attention-viewer");
  new Viewer(root).load(data, () => fromBase64(bytes));
}

export default mounted(
  (root) => new Viewer(find(root, ".attention-viewer", HTMLElement)),
  (viewer, /** @type {Call<ViewerData & { bytes: Column }>} */ { data, setStateValue }) => {
    viewer.send = (names) => setStateValue("layers", names);
    viewer.load(data, () => bytesOf(data.bytes));
  },
  (viewer) => viewer.destroy(),
);
