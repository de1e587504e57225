// @ts-check
// One card: an image with one map over it, its numbers and its prediction.
import { element, setText } from "../lib/dom.js";
import { FACTOR_COLOURS } from "../lib/colours.js";
import { cellAt, clamp } from "../lib/grid.js";
import { Latest } from "../lib/latest.js";
import { extent } from "../lib/numbers.js";
import { BranchLegend, winnersOf } from "./branches.js";
import { ChannelStrip } from "./channel_strip.js";
import { ColourBar } from "./colour_bar.js";
import { centreOf, fieldOf, kindWords, scaleEnds, shownFactor } from "./field.js";
import { MapGroup } from "./group.js";
import { colourIndex, precisionOf, quantile, rowMeans, rowWeights } from "./maths.js";
import { Prediction } from "./prediction.js";
import { factsOf, readoutWords } from "./readout.js";
import { Stage } from "./stage.js";
import { momentAt } from "./time_lapse.js";

/** @import { Field } from "./field.js" */
/** @import { Layer, Panel } from "./payload.js" */
/** @import { Viewer } from "./viewer.js" */

export class Card {
  /**
   * @param {Viewer} viewer
   * @param {Panel} panel
   * @param {Layer | null} [fixedLayer] when all layers are shown beside each other
   * @param {boolean} [continued] a card before this one shows the same prediction
   */
  constructor(viewer, panel, fixedLayer = null, continued = false) {
    this.viewer = viewer;
    this.panel = panel;
    this.fixedLayer = fixedLayer;

    // what is shown, see `prepare`
    this.key = ""; // of the values: layer, moment and field
    /** @type {Field | null} */
    this.field = null;
    /** @type {Float32Array | null} by channel, where the map has channels */
    this.gates = null;
    /** @type {Float32Array} of the field, else of the channels */
    this.values = new Float32Array();
    /** @type {[low: number, high: number]} of the colour scale */
    this.ends = [0, 1];
    this.cut = 0; // weights below this share of the colour scale are hidden
    this.bend = ""; // what `index` depends on
    this.index = new Int16Array(256); // colour of each level
    /** @type {Latest<number>} */
    this.threshold = new Latest();
    /** @type {Latest<[low: number, high: number]>} */
    this.valueExtent = new Latest();
    /** @type {Latest<number>} */
    this.valuePrecision = new Latest();
    /** @type {string | null} */
    this.factsKey = null;

    this.root = element("article", "card");
    const header = element("header");
    this.subtitle = element("p", "subtitle");
    header.append(element("h4", "", this.title), this.subtitle);
    if (panel.colour) this.root.style.setProperty("--run", panel.colour);
    this.stage = new Stage(this);
    this.readout = element("div", "readout");
    this.stage.root.append(this.readout);
    this.side = element("div", "side");
    this.sideWidth = 0;
    this.group = new MapGroup(this);
    this.strip = new ChannelStrip(this);
    this.branches = new BranchLegend(this);
    this.colourBar = new ColourBar(this);
    this.facts = element("p", "facts");
    this.prediction = new Prediction(this, continued);
    this.side.append(this.group.root, this.strip.canvas, this.branches.root, this.colourBar.root, this.facts, this.prediction.root);
    this.root.append(header, this.stage.root, this.side);
  }

  get title() {
    return this.fixedLayer ? this.fixedLayer.title : this.panel.title;
  }

  get layer() {
    return this.fixedLayer ?? this.viewer.layerOf(this.panel);
  }

  /** The name of the colours: those a person has chosen, but for factors. */
  get colours() {
    return this.layer?.scale === "factor" ? FACTOR_COLOURS : this.viewer.state.colours;
  }

  get moment() {
    return this.panel.steps.length ? momentAt(this.panel.steps, this.viewer.step) : 0;
  }

  /** The moment of the layer that is shown: the only one, or that of the step. */
  get shownMoment() {
    return this.layer && this.layer.moments > 1 ? this.moment : 0;
  }

  // ---- what is shown ------------------------------------------------------------------------------------------------

  /** Recomputes field, values and scale where something they depend on has changed. */
  prepare() {
    const { viewer, layer, panel } = this;
    const { state } = viewer;
    const moment = this.shownMoment;
    this.field = fieldOf(layer, moment, state, viewer.focus(), viewer.hoverChannel);
    const key = layer ? `${layer.name}:${this.field ? `${this.field.key}:${this.field.frame}` : moment}` : "";
    if (this.key !== key) {
      this.key = key;
      this.gates = layer && gatesOf(layer, moment);
      this.values = this.field?.compute() ?? this.gates ?? new Float32Array();
    }
    if (!layer) return;
    this.ends = scaleEnds(state.scope, layer, moment, this.field, this.values, panel, viewer.panels);
    this.cut = this.cutShare();
    const sides = centreOf(layer) !== null;
    const bend = `${state.gamma}:${this.cut}:${sides}`;
    if (this.bend !== bend) {
      this.bend = bend;
      this.index = colourIndex(state.gamma, this.cut, sides);
    }
  }

  /** The threshold as a share of the colour scale, of factors as a share of one of its sides. */
  cutShare() {
    const { threshold, cut } = this.viewer.state;
    if (threshold <= 0) return 0;
    if (cut === "value") return threshold;
    const centre = this.layer && centreOf(this.layer);
    const sizes = () => (centre === null ? this.values : this.values.map((value) => Math.abs(value - centre)));
    const value = this.threshold.get(`${this.key}:${threshold}`, () => quantile(sizes(), threshold));
    const [low, high] = centre === null ? this.ends : [0, this.ends[1] - centre];
    return high > low ? clamp((value - low) / (high - low), 0, 1) : 0;
  }

  extent() {
    return this.valueExtent.get(this.key, () => extent(this.values));
  }

  /** To what the weights are known. */
  precision() {
    const { layer, field, viewer } = this;
    if (!layer) return 0;
    const token = field?.token;
    if (token) return this.valuePrecision.get(this.key, () => precisionOf(token, this.shownMoment, [0]));
    const rows = layer.kind === "pairwise" && viewer.state.pair === "row" && field?.queries.length ? field.queries : null;
    return this.valuePrecision.get(this.key, () => precisionOf(layer, this.shownMoment, rows));
  }

  /** The shown value under the cross-hair or of the marked channel; null when nothing is pointed at. */
  pointedValue() {
    const { field, gates, layer, viewer } = this;
    if (!layer) return null;
    const channel = viewer.hoverChannel === null ? null : this.strip.marked();
    if (channel !== null && gates) return gates[channel];
    if (!viewer.cursor || !field) return null;
    return this.values[cellAt([field.height, field.width], viewer.cursor, field.frame).index];
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------

  /** Sizes are read for all cards before anything is written, so that the browser lays the page out once a frame. */
  measure() {
    this.stage.measure();
    this.sideWidth = this.side.clientWidth;
  }

  draw() {
    this.prepare();
    this.stage.draw();
    this.group.draw();
    this.strip.draw();
    this.branches.draw();
    this.colourBar.draw();
    this.writeFacts();
    this.prediction.draw();
    setText(this.readout, readoutWords(this));
  }

  writeFacts() {
    const { layer, panel, viewer, facts } = this;
    if (this.factsKey === this.key) return;
    this.factsKey = this.key;
    const parts = [this.fixedLayer ? panel.title : "", panel.subtitle, layer && viewer.manyLayers && !this.fixedLayer ? layer.title : ""];
    this.subtitle.textContent = parts.filter(Boolean).join(" · ");
    this.subtitle.hidden = !this.subtitle.textContent;
    if (!layer) {
      facts.textContent = "No map of this network can be shown in full; only its prediction is shown.";
      return;
    }
    const words = factsOf(this);
    facts.textContent = words.join(" · ");
    if (layer.note) facts.append(element("span", "note", ` ${layer.note}`));
    const prediction = this.prediction.words();
    this.stage.canvas.setAttribute(
      "aria-label",
      `${panel.title}: ${layer.title}, ${kindWords(layer)}; ${words.join(", ")}${prediction && `; predicted ${prediction}`}`,
    );
  }
}

/**
 * Shown values by channel, of branches the largest; null for a map that has no channels.
 * @param {Layer} layer
 * @param {number} moment
 */
function gatesOf(layer, moment) {
  if (layer.kind === "channel") return rowWeights(layer, moment, 0).map((gate) => gate * shownFactor(layer));
  if (layer.kind === "branch") return winnersOf(layer, moment).shares.map((share) => share * shownFactor(layer));
  return layer.kind === "element" ? rowMeans(layer, moment) : null;
}
