// @ts-check
// The bars that choose a map and a training step.
import { button, element, menu, range, setPressed, setText } from "../lib/dom.js";
import { fillTrack } from "./controls.js";
import { kindWords } from "./field.js";
import { placeOnTrack } from "./time_lapse.js";

/** @import { Control, Viewer } from "./viewer.js" */

const FEW_LAYERS = 10; // as buttons; more become a menu
export const MOST_BESIDE = 24; // maps beside each other

/**
 * @param {Viewer} viewer
 * @returns {Control}
 */
export function buildLayerBar(viewer) {
  const node = element("div", "layers");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", "Map");
  const choice = viewer.layers.length <= FEW_LAYERS ? layerButtons(viewer) : layerMenu(viewer);
  const all = button("all side by side", () => viewer.showAll(!viewer.state.all));
  all.hidden = viewer.layers.length > MOST_BESIDE;
  node.append(choice.node, all);
  const sync = () => {
    choice.sync();
    setPressed(all, viewer.state.all);
  };
  return { node, sync };
}

/**
 * @param {Viewer} viewer
 * @returns {Control}
 */
function layerButtons(viewer) {
  const node = element("div", "choices");
  const buttons = viewer.layers.map((layer, index) =>
    button(layer.title, () => viewer.showLayer(index), { title: `${layer.title}: ${kindWords(layer)}` }),
  );
  node.append(...buttons);
  const sync = () =>
    buttons.forEach((each, index) => {
      const pressed = !viewer.state.all && viewer.layerIndex === index;
      if (!setPressed(each, pressed) || !pressed) return;
      node.scrollLeft = each.offsetLeft - node.offsetLeft - (node.clientWidth - each.offsetWidth) / 2;
    });
  return { node, sync };
}

/**
 * @param {Viewer} viewer
 * @returns {Control}
 */
function layerMenu(viewer) {
  const node = element("div", "choices");
  /** @type {[string, string][]} */
  const options = viewer.layers.map((layer, index) => [String(index), `${layer.title} (${kindWords(layer)})`]);
  const select = menu(options, (value) => viewer.showLayer(Number(value)), { label: "Map" });
  const step = (/** @type {number} */ by, /** @type {string} */ text, /** @type {string} */ words) =>
    button(text, () => viewer.showLayer(viewer.layerIndex + by), { className: "push", title: words, label: words });
  node.append(step(-1, "‹", "Previous map"), select, step(1, "›", "Next map"));
  return { node, sync: () => void (select.value = String(viewer.layerIndex)) };
}

/**
 * @param {Viewer} viewer
 * @returns {Control}
 */
export function buildTimeBar(viewer) {
  const { steps } = viewer;
  const node = element("div", "time");
  const play = button("", () => viewer.play(!viewer.playing), { className: "play" });
  const input = range({ min: 0, max: steps.length - 1, step: 1, label: "Training step" });
  input.addEventListener("input", () => {
    viewer.playing = false;
    viewer.toStep(Number(input.value));
  });
  input.addEventListener("change", () => viewer.commit());
  const output = element("output");
  const track = element("div", "track");
  track.append(input);
  for (const { tested, colour } of viewer.panels) {
    if (tested === null) continue;
    const mark = element("span", "tested");
    mark.style.setProperty("--place", String(placeOnTrack(steps, tested)));
    if (colour) mark.style.background = colour;
    mark.title = `step ${tested.toLocaleString("en")}: the end of the epoch that was tested`;
    track.append(mark);
  }
  node.append(play, track, output);
  const count = (/** @type {number} */ step) => step.toLocaleString("en");
  const sync = () => {
    const at = viewer.stepIndex();
    if (input.value !== String(at)) input.value = String(at);
    fillTrack(input);
    const words = `step ${count(steps[at])} of ${count(steps[steps.length - 1])}`;
    if (setText(output, words)) input.setAttribute("aria-valuetext", words);
    if (setText(play, viewer.playing ? "❙❙" : "▶")) play.setAttribute("aria-label", viewer.playing ? "Pause" : "Play training");
  };
  return { node, sync };
}
