// @ts-check
// Probabilities before and after, two bars per class. Bars of a class that stays move to their new length.
import { element, find, setText } from "../lib/dom.js";
import { mounted } from "../lib/mount.js";

/** @import { Call } from "../lib/mount.js" */

const MOST_BARS = 6;

/**
 * @typedef {object} Answers of a network
 * @property {string[]} classes
 * @property {ArrayLike<number>} before probability of each class
 * @property {ArrayLike<number>} after
 * @property {number | null} truth the true class; null when unknown
 * @property {boolean} [says] whether a sentence stands above the bars
 */

export class BeforeAfter {
  /** @param {HTMLElement} root with the class before-after */
  constructor(root) {
    this.root = root;
    this.words = element("p", "says");
    this.words.setAttribute("aria-live", "polite");
    this.legend = element("div", "legend");
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
  }

  /** @param {Answers} answers */
  show(answers) {
    const { classes, before, after, truth, says = false } = answers;
    const best = bestOf(after);
    const shown = likely(answers);
    const rows = shown.map((index) => {
      const row = this.rows.get(classes[index]) ?? buildRow(classes[index]);
      fillRow(row, { before: before[index], after: after[index], isTrue: index === truth, isBest: index === best, judged: truth !== null });
      return row;
    });
    setText(this.legend, `Grey: before. Coloured: after.${truth === null ? "" : " The true class is green and ticked."}`);
    if (says) setText(this.words, changeWords(answers));
    const old = [...this.rows.keys()];
    if (old.length === rows.length && shown.every((index, at) => classes[index] === old[at])) return;
    this.rows = new Map(shown.map((index, at) => [classes[index], rows[at]]));
    this.root.replaceChildren(...(says ? [this.words] : []), ...rows, this.legend);
  }
}

/** @param {ArrayLike<number>} probabilities */
function bestOf(probabilities) {
  let best = 0;
  for (let at = 1; at < probabilities.length; at++) if (probabilities[at] > probabilities[best]) best = at;
  return best;
}

/**
 * The classes that are likely before or after, and the true one.
 * @param {Answers} answers
 */
export function likely({ classes, before, after, truth }) {
  const most = (/** @type {number} */ index) => Math.max(before[index], after[index]);
  const order = classes.map((_, index) => index).sort((a, b) => most(b) - most(a) || a - b);
  const shown = order.slice(0, MOST_BARS);
  if (truth !== null && !shown.includes(truth)) shown[shown.length - 1] = truth;
  return shown.sort((a, b) => before[b] - before[a] || a - b); // an order that stays while the change is dragged
}

/**
 * A sentence on what happened to the prediction.
 * @param {Answers} answers
 */
export function changeWords({ classes, before, after }) {
  const [old, now] = [bestOf(before), bestOf(after)];
  const share = (/** @type {number} */ value) => value.toFixed(2);
  if (old === now) return `The prediction stays ${classes[old]}: ${share(before[old])} before, ${share(after[old])} after.`;
  return `The prediction changes from ${classes[old]} (${share(before[old])}) to ${classes[now]} (${share(after[now])}).`;
}

/** @param {string} name */
function buildRow(name) {
  const row = element("div", "row");
  row.dataset.name = name;
  const tracks = element("div", "tracks");
  for (const side of ["before", "after"]) {
    const track = element("div", `track ${side}`);
    track.append(element("i"));
    tracks.append(track);
  }
  row.append(element("span", "name"), tracks, element("span", "numbers"));
  return row;
}

/**
 * @param {HTMLElement} row
 * @param {{ before: number, after: number, isTrue: boolean, isBest: boolean, judged: boolean }} change
 */
function fillRow(row, { before, after, isTrue, isBest, judged }) {
  const name = row.dataset.name ?? "";
  row.className = ["row", isTrue && "true", isBest && "best", !judged && "unjudged"].filter(Boolean).join(" ");
  const words = find(row, ".name", HTMLElement);
  if (setText(words, isTrue ? `${name} ✓` : name)) {
    words.title = name;
    if (isTrue) words.replaceChildren(name, element("span", "tick", " ✓"));
  }
  find(row, ".before i", HTMLElement).style.width = `${(100 * before).toFixed(1)}%`;
  find(row, ".after i", HTMLElement).style.width = `${(100 * after).toFixed(1)}%`;
  setText(find(row, ".numbers", HTMLElement), `${before.toFixed(2)} → ${after.toFixed(2)}`);
}

export default mounted(
  (root) => new BeforeAfter(find(root, ".before-after", HTMLElement)),
  (view, /** @type {Call<Answers>} */ { data }) => view.show(data),
);
