// @ts-check
// The controls under the cards. Each keeps itself in step with the state: `sync` is called after every change.
import { COLOUR_MAPS } from "../lib/colours.js";
import { button, element, menu, range, setPressed, setText } from "../lib/dom.js";
import { percent } from "../lib/numbers.js";
import { SCOPE_TITLES } from "./field.js";
import { PICTURE_WIDTHS, savePicture, saveTimeLapse } from "./save.js";
import { SCOPES, usualView, VIEW_FIELDS } from "./view.js";

/** @import { Control, Viewer } from "./viewer.js" */
/** @import { View } from "./view.js" */

/**
 * The parts of the state with values of one type.
 * @template Value
 * @typedef {{ [Name in keyof View]: View[Name] extends Value ? Name : never }[keyof View]} NameOf
 */

/**
 * Colours the track up to the thumb.
 * @param {HTMLInputElement} input
 */
export function fillTrack(input) {
  const share = (Number(input.value) - Number(input.min)) / (Number(input.max) - Number(input.min) || 1);
  input.style.setProperty("--at", `${(share * 100).toFixed(1)}%`);
}

/**
 * @param {Viewer} viewer
 * @param {NameOf<number>} name
 * @param {string} text
 * @param {{ min: number, max: number, step: number, words: (value: number) => string, log?: boolean, unit?: HTMLElement }} options
 * @returns {Control}
 */
function slider(viewer, name, text, { min, max, step, words, log = false, unit }) {
  const [toTrack, fromTrack] = log ? [Math.log2, (/** @type {number} */ at) => 2 ** at] : [Number, Number];
  const input = range({ min: toTrack(min), max: toTrack(max), step, label: text });
  const output = element("output");
  const node = element("div", "control"); // no <label>: it may hold a menu as well
  const track = unit ? element("div", "with-menu") : input;
  if (unit) track.append(input, unit);
  node.append(element("span", "caption", text), output, track);
  input.addEventListener("input", () => viewer.set({ [name]: fromTrack(Number(input.value)) }));
  input.addEventListener("change", () => viewer.commit());
  input.addEventListener("dblclick", () => viewer.set({ [name]: VIEW_FIELDS[name].usual }, true));
  const sync = () => {
    const value = viewer.state[name];
    const shown = String(toTrack(value));
    if (input.value !== shown) input.value = shown;
    fillTrack(input);
    if (setText(output, words(value))) input.setAttribute("aria-valuetext", words(value));
  };
  return { node, sync };
}

/**
 * A menu of the values of a part of the state.
 * @param {Viewer} viewer
 * @param {NameOf<string>} name
 * @param {[value: string, title: string][]} options
 * @param {{ className?: string, label?: string }} [names]
 */
function choice(viewer, name, options, names) {
  const node = menu(options, (value) => viewer.set({ [name]: value }, true), names);
  return { node, sync: () => void (node.value = viewer.state[name]) };
}

/**
 * A menu with its caption.
 * @param {Viewer} viewer
 * @param {NameOf<string>} name
 * @param {string} text
 * @param {[value: string, title: string][]} options
 * @returns {Control}
 */
function labelledChoice(viewer, name, text, options) {
  const { node, sync } = choice(viewer, name, options);
  const label = element("label", "control");
  label.append(element("span", "caption", text), node);
  return { node: label, sync };
}

/**
 * Buttons of which one is pressed.
 * @param {Viewer} viewer
 * @param {NameOf<string>} name
 * @param {string} text
 * @param {[value: string, title: string][]} options
 * @param {(value: string) => boolean} [offered] whether a button is there now
 * @returns {Control}
 */
function segments(viewer, name, text, options, offered = () => true) {
  const node = element("div", "control");
  const row = element("div", "segments");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", text);
  const buttons = options.map(([value, title]) => button(title, () => viewer.set({ [name]: value }, true)));
  row.append(...buttons);
  node.append(element("span", "caption", text), row);
  if (options.map(([, title]) => title).join("").length > 24) node.classList.add("wide");
  const sync = () =>
    options.forEach(([value], at) => {
      setPressed(buttons[at], viewer.state[name] === value);
      buttons[at].hidden = !offered(value);
    });
  return { node, sync };
}

/**
 * @param {Viewer} viewer
 * @param {NameOf<boolean>} name
 * @param {string} text
 * @returns {Control}
 */
function toggle(viewer, name, text) {
  const node = button(text, () => viewer.set({ [name]: !viewer.state[name] }, true), { className: "toggle" });
  return { node, sync: () => void setPressed(node, viewer.state[name]) };
}

/**
 * @param {string} text
 * @param {(event: MouseEvent) => void} action
 * @param {string} [title]
 */
function push(text, action, title) {
  return button(text, action, { className: "push", title });
}

/** @param {number} near */
function nearWords(near) {
  if (near === 0) return "none";
  return near === 1 ? "itself" : `within ${near - 1}`;
}

/**
 * All controls; those that belong to one kind of map are hidden while no such map is shown.
 * @param {Viewer} viewer
 * @returns {Control}
 */
export function buildControls(viewer) {
  const cut = choice(viewer, "cut", [["value", "of scale"], ["percentile", "by rank"]], {
    className: "inline",
    label: "Unit of the threshold",
  });
  const always = [
    slider(viewer, "opacity", "Opacity", { min: 0, max: 1, step: 0.01, words: percent }),
    slider(viewer, "gamma", "Gamma", { min: 0.25, max: 4, step: 0.05, log: true, words: (value) => value.toFixed(2) }),
    slider(viewer, "threshold", "Hide values below", { min: 0, max: 1, step: 0.01, words: percent, unit: cut.node }),
    segments(viewer, "blend", "Draw as", [["heat", "heat"], ["reveal", "reveal"], ["contour", "contour"]]),
    labelledChoice(viewer, "colours", "Colours", COLOUR_MAPS),
    labelledChoice(viewer, "scope", "Scale", SCOPES.map((scope) => [scope, SCOPE_TITLES[scope]])),
  ];
  const pairs = [
    segments(viewer, "pair", "Show", [["row", "attention paid"], ["column", "attention received"], ["entropy", "entropy"], ["token", "class token"]], (view) => view !== "token" || viewer.hasClassToken),
    slider(viewer, "near", "Ignore nearby positions", { min: 0, max: 8, step: 1, words: nearWords }),
  ];
  const smooth = toggle(viewer, "smooth", "smooth");
  smooth.node.title = "Interpolate the colours between the centres of cells. A map has one value per cell.";
  const stretch = toggle(viewer, "stretch", "stretch evenly");
  stretch.node.title =
    "Off: each cell lies where the network looks. On: the map fills the picture as if its cells divided it evenly, as other tools draw it.";
  const mask = toggle(viewer, "mask", "object outline");
  const sorted = toggle(viewer, "sorted", "sort channels");
  const mean = push("mean of channels", () => viewer.set({ channel: null }, true));
  const unpin = push("unpin", () => viewer.set({ pins: [] }, true), "Remove all pins");
  const keys = push("keys", () => viewer.toggleHelp(), "Keyboard shortcuts");
  const usual = () => viewer.set({ ...usualView(), layer: viewer.state.layer }, true);
  const link = push("copy link", () => viewer.copyLink(link), "Copy a link to this view");
  link.hidden = !viewer.options.link;

  const node = element("div", "dock");
  const grid = element("div", "grid");
  grid.append(...[...always, ...pairs].map((control) => control.node));
  const row = element("div", "row");
  const reset = push("reset", usual, "Restore the default view");
  row.append(smooth.node, stretch.node, mask.node, sorted.node, mean, unpin, element("span", "space"), keys, reset, link, buildSaving(viewer));
  node.append(grid, row);
  const sync = () => {
    for (const control of [...always, cut, ...pairs, smooth, stretch, mask, sorted]) control.sync();
    const kinds = new Set(viewer.cards.map((card) => card.layer?.kind));
    for (const control of pairs) control.node.hidden = !kinds.has("pairwise");
    unpin.hidden = !kinds.has("pairwise") || !viewer.state.pins.length;
    sorted.node.hidden = !kinds.has("channel") && !kinds.has("element") && !kinds.has("branch");
    mean.hidden = !kinds.has("element") || viewer.state.channel === null;
    stretch.node.hidden = !viewer.layers.some((layer) => layer.frame);
    mask.node.hidden = !viewer.panels.some((panel) => panel.mask);
    keys.setAttribute("aria-expanded", String(!viewer.help.hidden));
  };
  return { node, sync };
}

/** @param {Viewer} viewer */
function buildSaving(viewer) {
  const node = element("span", "saving");
  const widths = menu(PICTURE_WIDTHS.map((width) => [String(width), `${width} px`]), () => {}, {
    className: "inline",
    label: "Width of the saved image",
  });
  widths.value = "1024";
  const png = push("save PNG", () => savePicture(viewer, Number(widths.value)), "Save all cards and their scales as one image");
  const gif = push("save GIF", () => saveTimeLapse(viewer, gif), "Save the time-lapse as an animated image");
  gif.hidden = viewer.steps.length < 2;
  node.append(png, widths, gif);
  return node;
}
