// @ts-check
// The keyboard, which does all that the pointer and the controls do.
import { COLOUR_MAPS } from "../lib/colours.js";
import { element } from "../lib/dom.js";
import { ARROWS, clamp, MIDDLE } from "../lib/grid.js";
import { MOST_BESIDE } from "./bars.js";
import { readoutWords } from "./readout.js";
import { BLENDS, CUTS, PAIR_VIEWS, SCOPES, usualView, VIEW_FIELDS } from "./view.js";

/** @import { View } from "./view.js" */
/** @import { Viewer } from "./viewer.js" */

const KEYS = [
  ["← ↑ → ↓", "move the cross-hair or step through the channels"],
  ["Enter, p", "pin the position (with Shift: add a pin)"],
  ["Esc, x", "remove all pins"],
  ["[ ]", "previous or next map; a: show all"],
  [", .", "previous or next training step; space: play"],
  ["o O", "less or more opacity"],
  ["t T", "hide fewer or more values; %: of the scale or by rank"],
  ["g G", "less or more gamma"],
  ["c", "next colour map"],
  ["b", "heat, reveal or contour"],
  ["s", "next scale"],
  ["i", "smooth or exact cells"],
  ["v", "attention paid, attention received or entropy"],
  ["n N", "ignore fewer or more nearby positions"],
  ["h", "channels in order or sorted"],
  ["k K", "previous or next channel"],
  ["m", "show or hide the object outline"],
  ["0", "restore the default view"],
];

/** The list of keys, hidden at first. */
export function buildHelp() {
  const help = element("dl", "help");
  help.hidden = true;
  for (const [keys, words] of KEYS) {
    const line = element("div");
    line.append(element("dt", "", keys), element("dd", "", words));
    help.append(line);
  }
  return help;
}

/**
 * @param {Viewer} viewer
 * @param {KeyboardEvent} event
 */
export function onKey(viewer, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.composedPath()[0];
  const { tagName } = /** @type {Element} */ (target);
  if (tagName === "SELECT" || (tagName === "INPUT" && /^(Arrow|Home|End|Page|Tab)/.test(event.key))) return;
  if (tagName === "BUTTON" && (event.key === "Enter" || event.key === " ")) return;
  const action = actionOf(viewer, event);
  if (!action) return;
  event.preventDefault();
  event.stopPropagation(); // the app has its own single keys, such as c and r
  action();
  const card = viewer.cards.find((each) => each.stage.canvas === target) ?? viewer.cards[0];
  card.prepare();
  viewer.spoken.textContent = readoutWords(card);
}

/**
 * @param {Viewer} viewer
 * @param {KeyboardEvent} event
 * @returns {(() => void) | null}
 */
function actionOf(viewer, { key, shiftKey }) {
  const { state } = viewer;
  const set = (/** @type {Partial<View>} */ change) => () => viewer.set(change, true);
  const add = (/** @type {"opacity" | "threshold" | "near"} */ name, /** @type {number} */ by) =>
    set({ [name]: VIEW_FIELDS[name].read(String(Number((state[name] + by).toFixed(3)))) });
  /** @type {<Name extends keyof View>(name: Name, values: readonly View[Name][]) => () => void} */
  const next = (name, values) => set({ [name]: values[(values.indexOf(state[name]) + 1) % values.length] });
  const flip = (/** @type {"smooth" | "sorted" | "mask"} */ name) => set({ [name]: !state[name] });
  const pin = (/** @type {boolean} */ more) => () => viewer.pin(viewer.cursor ?? viewer.lastHover ?? MIDDLE, more);
  if (key in ARROWS) return () => nudge(viewer, ...ARROWS[key]);
  const steps = viewer.steps.length > 1;
  const several = viewer.layers.length > 1 && viewer.layers.length <= MOST_BESIDE;
  /** @type {Record<string, (() => void) | null>} */
  const actions = {
    Enter: pin(shiftKey),
    p: pin(false),
    P: pin(true),
    Escape: set({ pins: [] }),
    x: set({ pins: [] }),
    "[": () => viewer.showLayer(viewer.layerIndex - 1),
    "]": () => viewer.showLayer(viewer.layerIndex + 1),
    a: several ? () => viewer.showAll(!state.all) : null,
    ",": steps ? () => viewer.toStep(viewer.stepIndex() - 1) : null,
    ".": steps ? () => viewer.toStep(viewer.stepIndex() + 1) : null,
    " ": steps ? () => viewer.play(!viewer.playing) : null,
    o: add("opacity", -0.05),
    O: add("opacity", 0.05),
    t: add("threshold", -0.05),
    T: add("threshold", 0.05),
    "%": next("cut", CUTS),
    g: set({ gamma: Math.max(state.gamma / 1.1, 0.25) }),
    G: set({ gamma: Math.min(state.gamma * 1.1, 4) }),
    c: next("colours", COLOUR_MAPS.map(([name]) => name)),
    b: next("blend", BLENDS),
    s: next("scope", SCOPES),
    v: next("pair", PAIR_VIEWS.filter((view) => view !== "token" || viewer.hasClassToken)),
    n: add("near", -1),
    N: add("near", 1),
    i: flip("smooth"),
    h: flip("sorted"),
    k: () => toChannel(viewer, -1),
    K: () => toChannel(viewer, 1),
    m: flip("mask"),
    0: set({ ...usualView(), layer: state.layer, all: state.all }),
    "?": viewer.compact ? null : () => viewer.toggleHelp(),
  };
  return Object.hasOwn(actions, key) ? actions[key] : null;
}

/**
 * Picks the channel before or after the picked one, in the order of the strip; the first or last instead of their mean.
 * @param {Viewer} viewer
 * @param {number} by
 */
function toChannel(viewer, by) {
  const card = viewer.cards.find((each) => each.layer?.kind === "element");
  if (!card) return;
  card.prepare();
  const { channel } = viewer.state;
  const next = channel === null ? card.strip.channelBeside(0, by > 0 ? -Infinity : Infinity) : card.strip.channelBeside(channel, by);
  viewer.set({ channel: next }, true);
}

/**
 * Moves the cross-hair by one cell of the map that is shown, or the mark by one channel.
 * @param {Viewer} viewer
 * @param {number} down rows
 * @param {number} right columns
 */
function nudge(viewer, down, right) {
  const card = viewer.cards[0];
  card.prepare();
  if (!card.field && card.gates) {
    const from = viewer.hoverChannel;
    viewer.hoverChannel = from === null ? card.strip.channelBeside(0, -Infinity) : card.strip.channelBeside(from, right + down);
    viewer.schedule();
    return;
  }
  const { height, width } = card.field ?? card.panel;
  const within = (/** @type {number} */ share) => clamp(share, 0.0001, 0.9999);
  const { u, v } = viewer.cursor ?? viewer.lastHover ?? MIDDLE;
  const at = { u: within(u + right / width), v: within(v + down / height) };
  viewer.hoverChannel = null;
  viewer.hover = viewer.lastHover = at;
  if (viewer.state.pins.length === 1) viewer.state.pins = [at];
  viewer.schedule();
  viewer.commit();
}
