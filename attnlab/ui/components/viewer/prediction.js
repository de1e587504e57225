// @ts-check
// The prediction of a card: one bar per class, moving with the training step.
import { element } from "../lib/dom.js";
import { percent } from "../lib/numbers.js";
import { shownClasses } from "./maths.js";

/** @import { Card } from "./card.js" */

const MOST_BARS = 5;
const MOST_BARS_COMPACT = 3;

export class Prediction {
  /**
   * @param {Card} card
   * @param {boolean} continued a card before this one shows the same prediction
   */
  constructor(card, continued) {
    this.card = card;
    const { panel, viewer } = card;
    this.root = element("ul", "odds");
    this.root.hidden = continued || !panel.probabilities.length;
    /** @type {Float32Array | null} */
    this.drawn = null;
    const most = viewer.compact ? MOST_BARS_COMPACT : MOST_BARS;
    this.bars = this.root.hidden ? [] : shownClasses(panel.probabilities, most, panel.truth).map((index) => this.buildBar(index));
    this.root.setAttribute("aria-label", "Prediction");
    this.root.classList.toggle("judged", panel.truth !== null);
    this.root.append(...this.bars.map(({ row }) => row));
  }

  /** @param {number} index of the class */
  buildBar(index) {
    const { classes, truth } = this.card.panel;
    const isTrue = index === truth;
    const row = element("li", isTrue ? "true" : "");
    row.title = isTrue ? `${classes[index]}: the true class` : classes[index];
    const name = element("span", "name", classes[index]);
    if (isTrue) name.append(element("span", "tick", " ✓"));
    const track = element("span", "track");
    const fill = element("span", "fill");
    track.append(fill);
    const number = element("span", "number");
    row.append(name, track, number);
    return { index, fill, number, row };
  }

  draw() {
    if (!this.bars.length) return;
    const probabilities = this.probabilities();
    if (this.drawn === probabilities) return;
    this.drawn = probabilities;
    const best = bestOf(probabilities);
    for (const { index, fill, number, row } of this.bars) {
      const share = probabilities[index];
      fill.style.width = `${(100 * share).toFixed(1)}%`;
      number.textContent = percent(share, share >= 0.0995 || share < 0.0005 ? 0 : 1);
      row.classList.toggle("best", index === best);
    }
  }

  /** Of the classes, at the moment that is shown. */
  probabilities() {
    const { probabilities } = this.card.panel;
    return probabilities[probabilities.length > 1 ? this.card.moment : 0];
  }

  /** The most probable class in words; empty where nothing was predicted. */
  words() {
    const { classes, probabilities } = this.card.panel;
    if (!probabilities.length) return "";
    const row = this.probabilities();
    return `${classes[bestOf(row)]} ${percent(row[bestOf(row)])}`;
  }
}

/** @param {Float32Array} probabilities */
function bestOf(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}
