// @ts-check
// The heads of one attention beside each other, small, under the one that is enlarged.
import { contextOf } from "../lib/canvas.js";
import { mapCanvas } from "../lib/colours.js";
import { button, element, setPressed } from "../lib/dom.js";
import { fieldOf } from "./field.js";

/** @import { Card } from "./card.js" */
/** @import { Layer } from "./payload.js" */

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

export class HeadGrid {
  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    this.root = element("div", "heads");
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", "Heads");
    /** @type {{ layer: Layer, node: HTMLButtonElement, canvas: HTMLCanvasElement, key: string }[]} */
    this.thumbs = [];
  }

  draw() {
    const { card } = this;
    const { viewer, layer, panel } = card;
    const heads = card.fixedLayer || viewer.compact ? [] : headsOf(layer, panel.layers);
    this.root.hidden = !heads.length;
    if (!heads.length) return;
    if (this.thumbs.length !== heads.length || heads.some((head, at) => this.thumbs[at].layer !== head)) this.build(heads);
    for (const thumb of this.thumbs) {
      setPressed(thumb.node, thumb.layer === layer);
      const field = fieldOf(thumb.layer, card.shownMoment, viewer.state, viewer.focus());
      if (!field) continue;
      const key = `${field.key}:${card.ends}:${card.colours}`;
      if (thumb.key === key) continue;
      thumb.key = key;
      const { height, width } = field;
      Object.assign(thumb.canvas, { width, height });
      contextOf(thumb.canvas).drawImage(mapCanvas(field.compute(), [height, width], card.ends, card.colours), 0, 0);
    }
  }

  /** @param {Layer[]} heads */
  build(heads) {
    const { viewer } = this.card;
    this.thumbs = heads.map((layer) => {
      const at = viewer.layers.findIndex((other) => other.name === layer.name);
      const node = button("", () => viewer.showLayer(at), { className: "head", title: layer.title });
      const canvas = element("canvas");
      node.append(canvas, element("span", "", layer.name.split("#h")[1]));
      return { layer, node, canvas, key: "" };
    });
    this.root.replaceChildren(...this.thumbs.map(({ node }) => node));
  }
}
