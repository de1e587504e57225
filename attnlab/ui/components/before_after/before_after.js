// @ts-check
// Probabilities before and after, two bars per class. Bars of a class that stays move to their new length.
import { element, find } from "../lib/dom.js";

/** @import { Call } from "../lib/mount.js" */

/** @typedef {{ name: string, before: number, after: number, truth: boolean, best: boolean }} ClassChange */

/** @param {Call<{ rows: ClassChange[], judged: boolean }>} call judged: whether the true class is known */
export default function ({ data, parentElement }) {
  const root = find(parentElement, ".before-after", HTMLElement);
  const old = new Map([...root.children].map((row) => [row.getAttribute("data-name"), row]));
  const rows = data.rows.map((change) => {
    const row = old.get(change.name) ?? buildRow(change.name);
    fillRow(row, change, data.judged);
    return row;
  });
  const legend = root.querySelector(".legend") ?? element("div", "legend");
  legend.textContent = `Grey: before. Coloured: after.${data.judged ? " The true class is green and ticked." : ""}`;
  root.replaceChildren(...rows, legend);
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
 * @param {Element} row
 * @param {ClassChange} change
 * @param {boolean} judged
 */
function fillRow(row, { name, before, after, truth, best }, judged) {
  row.className = ["row", truth && "true", best && "best", !judged && "unjudged"].filter(Boolean).join(" ");
  const words = find(row, ".name", HTMLElement);
  words.replaceChildren(name);
  words.title = name;
  if (truth) words.append(element("span", "tick", " ✓"));
  find(row, ".before i", HTMLElement).style.width = `${(100 * before).toFixed(1)}%`;
  find(row, ".after i", HTMLElement).style.width = `${(100 * after).toFixed(1)}%`;
  find(row, ".numbers", HTMLElement).textContent = `${before.toFixed(2)} → ${after.toFixed(2)}`;
}
