// @ts-check
// Maps that belong together, small and beside each other, under the one that is enlarged: the heads of one attention, or the
// maps of one block and what they make together.
import { contextOf } from "../lib/canvas.js";
import { FACTOR_COLOURS, mapCanvas } from "../lib/colours.js";
import { button, element, setPressed } from "../lib/dom.js";
import { fieldOf, scaleEnds, shownFactor } from "./field.js";
import { rowWeights } from "./maths.js";

/** @import { Card } from "./card.js" */
/** @import { Layer } from "./payload.js" */

/** @typedef {{ layer: Layer, words: string, sign: string }} Member sign: what stands in front of it */

/** Between the maps of a block, by what they make. @type {Record<string, string>} */
const BETWEEN = { product: "×", sum: "+", mean: "+" };

/**
 * The heads of the attention that a layer belongs to, in order; none where it has one.
 * @param {Layer | null} layer
 * @param {Layer[]} layers of the panel
 */
export function headsOf(layer, layers) {
  const [tap, head] = layer?.name.split("#h") ?? [];
  if (!head) return [];
  const heads = layers.filter((other) => other.name.startsWith(`${tap}#h`));
  return heads.length > 1 ? heads : [];
}

/**
 * The path of the block whose maps make a derived map.
 * @param {Layer} made
 */
function blockOf(made) {
  return made.name.slice(0, made.name.lastIndexOf(".") + 1);
}

/**
 * Whether a layer is one of the maps that make a derived map.
 * @param {Layer} layer
 * @param {Layer} made
 */
function makes(layer, made) {
  return !layer.unit && layer.name.startsWith(blockOf(made));
}

/**
 * The maps of the block that a layer belongs to, and last what is derived of them; none for a block of which nothing is derived.
 * @param {Layer | null} layer
 * @param {Layer[]} layers of the panel
 */
export function partsOf(layer, layers) {
  const made = layers.find((other) => layer && other.unit && (other === layer || makes(layer, other)));
  const parts = made ? layers.filter((other) => makes(other, made)) : []; // none where the maps are too large to be sent
  return made && parts.length ? [...parts, made] : [];
}

/**
 * What a map is called in its block: where its tap lies, as in "rows"; for the tap of the block itself the block's name.
 * @param {Layer} layer
 * @param {Layer} made
 */
function wordsIn(layer, made) {
  const inside = layer.name.slice(blockOf(made).length).split(".").slice(0, -1).join(" ");
  return (inside || (blockOf(made).split(".").at(-2) ?? "")).replaceAll("_", " ");
}

/**
 * What is shown beside each other with a layer.
 * @param {Layer | null} layer
 * @param {Layer[]} layers of the panel
 * @returns {Member[]}
 */
export function membersOf(layer, layers) {
  const made = partsOf(layer, layers).at(-1);
  if (!made) return headsOf(layer, layers).map((each) => ({ layer: each, words: headOf(each), sign: "" }));
  const last = (/** @type {Layer} */ each) => each.title.split(" · ").at(-1) ?? each.title;
  const parts = partsOf(layer, layers).slice(0, -1);
  const oneTap = parts.every((each) => tapOf(each) === tapOf(parts[0]));
  const words = (/** @type {Layer} */ each) =>
    (oneTap && headOf(each)) || [wordsIn(each, made), headOf(each)].filter(Boolean).join(" ") || last(each);
  const between = BETWEEN[made.unit] ?? "";
  const before = { mean: `÷ ${parts.length} =`, added: "→", gathered: "→" }[made.unit] ?? "=";
  return [
    ...parts.map((each, at) => ({ layer: each, words: words(each), sign: at ? between : "" })),
    { layer: made, words: last(made), sign: before },
  ];
}

/**
 * The path of the tap of a layer.
 * @param {Layer} layer
 */
function tapOf(layer) {
  return layer.name.split("#")[0];
}

/**
 * The number of the head that a layer is a map of; empty where there is one head.
 * @param {Layer} layer
 */
function headOf(layer) {
  return layer.name.split("#h")[1] ?? "";
}

/**
 * The layer of another panel that is shown beside a chosen one, where the panels have different maps: of the same name, else
 * the map of a tap that lies about as deep as the chosen one, or as one of those that make it.
 * @param {Layer[]} layers that can be chosen
 * @param {Layer} chosen
 * @param {Layer[]} others of the other panel
 */
export function layerBeside(layers, chosen, others) {
  const same = others.find(({ name }) => name === chosen.name);
  if (same) return same;
  const taps = layers.filter(({ unit }) => !unit);
  const theirs = others.filter(({ unit }) => !unit);
  const at = taps.findLastIndex((layer) => layer === chosen || (chosen.unit && makes(layer, chosen)));
  if (!theirs.length || taps.length < 2) return others[0];
  return theirs[Math.round((Math.max(at, 0) * (theirs.length - 1)) / (taps.length - 1))];
}

export class MapGroup {
  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    this.root = element("div", "heads");
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", "Maps that belong together");
    /** @type {{ layer: Layer, node: HTMLButtonElement, canvas: HTMLCanvasElement, key: string }[]} */
    this.thumbs = [];
  }

  draw() {
    const { card } = this;
    const { viewer, layer, panel } = card;
    const members = card.fixedLayer || viewer.compact ? [] : membersOf(layer, panel.layers);
    this.root.hidden = !members.length;
    if (!members.length) return;
    const same = this.thumbs.length === members.length && members.every((member, at) => this.thumbs[at].layer === member.layer);
    if (!same) this.build(members);
    for (const thumb of this.thumbs) {
      setPressed(thumb.node, thumb.layer === layer);
      this.paint(thumb);
    }
  }

  /** @param {typeof this.thumbs[number]} thumb */
  paint(thumb) {
    const { card } = this;
    const { viewer, panel } = card;
    const { layer, canvas } = thumb;
    const moment = layer.moments > 1 ? card.moment : 0;
    const field = fieldOf(layer, moment, viewer.state, viewer.focus());
    const colours = layer.scale === "factor" ? FACTOR_COLOURS : viewer.state.colours;
    const key = `${field?.key ?? moment}:${viewer.state.scope}:${viewer.panels.length}:${colours}`;
    if (thumb.key === key) return;
    thumb.key = key;
    const values = field?.compute() ?? unplacedValues(layer, moment);
    const [height, width] = field ? [field.height, field.width] : [layer.rows, layer.length];
    const ends = scaleEnds(viewer.state.scope, layer, moment, field, values, panel, viewer.panels);
    Object.assign(canvas, { width, height });
    contextOf(canvas).drawImage(mapCanvas(values, [height, width], ends, colours), 0, 0);
  }

  /** @param {Member[]} members */
  build(members) {
    const { viewer } = this.card;
    /** @type {HTMLElement[]} */
    const nodes = [];
    this.root.classList.toggle("signed", members.some(({ sign }) => sign));
    this.thumbs = members.map(({ layer, words, sign }) => {
      const at = viewer.layers.findIndex((other) => other.name === layer.name);
      const node = button("", () => viewer.showLayer(at), { className: "head", title: layer.title });
      const canvas = element("canvas");
      node.append(canvas, element("span", "", words));
      if (sign) nodes.push(element("span", "sign", sign));
      nodes.push(node);
      return { layer, node, canvas, key: "" };
    });
    this.root.replaceChildren(...nodes);
  }
}

/**
 * The shown values of a map without places, row by row: one row of channels, or for each channel a row of branches.
 * @param {Layer} layer
 * @param {number} moment
 */
function unplacedValues(layer, moment) {
  const values = new Float32Array(layer.rows * layer.length);
  for (let row = 0; row < layer.rows; row++) values.set(rowWeights(layer, moment, row), row * layer.length);
  return values.map((weight) => weight * shownFactor(layer));
}
