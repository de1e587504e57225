// @ts-check
// Surgery in the browser: the network runs here, so a change of its attention shows at once, and the server hears of none.
import { BeforeAfter } from "../before_after/before_after.js";
import { fromBase64, toBase64 } from "../lib/base64.js";
import { FACTOR_REACH, SOFTMAX_TOP } from "../lib/colour_tables.js";
import { button, element, find, setText } from "../lib/dom.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { MaskEditor } from "../mask_editor/mask_editor.js";
import { ERASED, PAINTED } from "../mask_editor/painting.js";
import { loadNetwork, networkOf } from "../network/load.js";
import { editOf, scalarsOf, tapOf } from "../network/operations.js";
import { amountOf, cellsFromText, cellsToText, firstChoice, placesFor, tapsOf, withChoice } from "./choices.js";
import { Controls } from "./controls.js";
import { FeatureStrip } from "./features.js";
import { fieldOf, frameOf, gridOf, isPlaced, shownTap } from "./fields.js";
import { Camera, canvasOf, cropped, fromFile } from "./pictures.js";

/** @import { Call, Column } from "../lib/mount.js" */
/** @import { Network, Tap } from "../network/network.js" */
/** @import { Intervention } from "../network/operations.js" */
/** @import { Choice, Operation, Place } from "./choices.js" */
/** @import { Source } from "./controls.js" */

const AFTER_A_GESTURE = 150; // milliseconds until the address follows
const TIMED = 31; // runs of which the middle one's time is shown
/** @type {Record<string, string>} */
const NOTES = {
  channel: "one weight per channel, in rows",
  element: "mean over the channels",
  pairwise: "the attention each position receives",
  branch: "one column per channel, one row per branch",
};
const CAUTION =
  "Such maps never occurred during training. If the prediction holds, this map was not essential for it here. If it changes, the " +
  "network depends on the map; that does not make the map a reason a person would give.";

/**
 * @typedef {object} SurgeryData
 * @property {string} network name of its file on the server; empty where the file comes with the page
 * @property {Operation[]} operations
 * @property {Place[]} places
 * @property {Record<string, string>} titles of the maps, by name
 * @property {number | null} truth the true class of the picture; null when unknown
 * @property {string | null} inView the place whose map the viewer shows
 * @property {boolean} link the choices are kept in the page's address
 * @property {boolean} finds test images whose prediction changes can be looked for
 */

class Surgery {
  /** @param {HTMLElement} root */
  constructor(root) {
    /** @type {SurgeryData | null} */
    this.data = null;
    /** @type {Network | null} */
    this.network = null;
    this.address = "";
    /** @type {Choice | null} */
    this.choice = null;
    /** The picture of the page, as the network takes it. @type {Uint8Array} */
    this.still = new Uint8Array();
    /** What the network sees. @type {Uint8Array} */
    this.pixels = this.still;
    /** @type {Source} */
    this.source = "page";
    /** The same, to be drawn. @type {HTMLCanvasElement | null} */
    this.picture = null;
    /** Index of the map on the canvas. */
    this.shown = -1;
    /** @type {Float32Array} probabilities */
    this.before = new Float32Array();
    /** @type {Float32Array[]} */
    this.mapsBefore = [];
    /** The features behind the map on the canvas, before the change. */
    this.featuresBefore = new Float32Array();
    this.frame = 0;
    this.linkTimer = 0;
    /** @type {number[]} */
    this.times = [];
    /** @type {(why: string) => void} */
    this.fail = (why) => this.controls.say(`The network cannot run here, because ${why}.`);
    /** @type {(told: object) => void} */
    this.ask = () => {};

    root.replaceChildren();
    this.controls = new Controls(root, {
      change: (change) => this.set(change),
      page: () => this.showPage(),
      file: (file) => void this.open(file),
      camera: () => void this.toggleCamera(),
    });
    this.camera = new Camera((video) => this.look(video, video.videoWidth, video.videoHeight));
    this.cropped = document.createElement("canvas");
    this.title = element("p", "title");
    const canvas = element("div", "mask-editor");
    this.editor = new MaskEditor(canvas);
    this.editor.follow = (cells) => this.set({ strokes: cellsToText(cells) });
    const answer = element("div", "before-after");
    this.answer = new BeforeAfter(answer);
    this.speed = element("p", "speed");
    this.finding = button("Find test images whose prediction this changes", () => this.ask(this.told()));
    const left = element("div", "left");
    this.features = new FeatureStrip();
    left.append(this.title, canvas, this.features.root);
    const right = element("div", "right");
    right.append(answer, this.speed, element("p", "caution", CAUTION), this.finding);
    this.table = element("div", "table");
    this.table.append(left, right);
    this.table.hidden = true;
    root.append(this.table);
  }

  destroy() {
    this.camera.stop();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.linkTimer);
  }

  // ---- what is given ----------------------------------------------------------------------------------------------

  /**
   * @param {SurgeryData} data
   * @param {Uint8Array} still the picture of the page
   * @param {Uint8Array} [content] of the network's file, where it comes with the page
   */
  load(data, still, content) {
    this.data = data;
    this.choice ??= firstChoice(data.operations, data.link ? window.location.search : "");
    this.still = still;
    if (this.source === "page") this.pixels = still;
    this.finding.hidden = !data.finds;
    if (content) this.start(networkOf(content));
    else if (data.network !== this.address) void this.fetch(data.network);
    else this.look();
    this.writeLink();
  }

  /** @param {string} name of the file */
  async fetch(name) {
    this.address = name;
    this.network = null;
    this.table.hidden = true;
    this.controls.say("Loading the network into the browser.");
    try {
      const network = await loadNetwork(name);
      if (this.address === name) this.start(network);
    } catch (error) {
      if (this.address === name) this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {Network} network */
  start(network) {
    this.network = network;
    const { shape } = this.network.about;
    if (this.source !== "page" || this.still.length !== shape[0] * shape[1] * shape[2]) this.showPage();
    this.table.hidden = false;
    this.controls.say("");
    this.shown = -1;
    this.look();
  }

  // ---- what is chosen ---------------------------------------------------------------------------------------------

  /** Everything that is chosen, with what fits in place of what does not. */
  chosen() {
    const { data, choice, network } = this;
    if (!data || !choice || !network) return null;
    const operation = data.operations.find(({ title }) => title === choice.operation) ?? data.operations[0];
    const places = placesFor(operation, data.places, data.inView);
    const [place] = places.find(([value]) => value === choice.where) ?? places[0];
    const taps = tapsOf(place, data.inView);
    const { scalars } = network.about;
    const beside = scalarsOf({ operation: "gamma", amount: 0, taps }, scalars);
    const learned = scalars.filter(({ name }) => name in beside).map(({ value }) => value);
    return { operation, places, place, taps, seed: choice.seed, amount: amountOf(operation, choice, learned) };
  }

  told() {
    const chosen = this.chosen();
    if (!chosen) return {};
    return { operation: chosen.operation.name, amount: chosen.amount.value, taps: chosen.taps, seed: chosen.seed };
  }

  /** @param {Partial<Choice>} change */
  set(change) {
    if (!this.choice) return;
    Object.assign(this.choice, change);
    this.schedule();
    clearTimeout(this.linkTimer);
    this.linkTimer = window.setTimeout(() => this.writeLink(), AFTER_A_GESTURE);
  }

  writeLink() {
    if (!this.data?.link || !this.choice) return;
    const href = withChoice(this.data.operations, window.location.href, this.choice);
    if (href !== window.location.href) window.history.replaceState(window.history.state, "", href);
  }

  // ---- the picture ------------------------------------------------------------------------------------------------

  /**
   * The network looks at a picture: the middle of the source, or what it saw before.
   * @param {CanvasImageSource} [source]
   * @param {number} [wide]
   * @param {number} [tall]
   */
  look(source, wide = 0, tall = 0) {
    const { network } = this;
    if (!network) return;
    const { shape } = network.about;
    if (source) this.pixels = cropped(source, wide, tall, this.cropped, shape);
    this.picture = source ? this.cropped : canvasOf(this.pixels, shape);
    this.runBefore(network);
    this.run();
  }

  /** The network as it is. @param {Network} network */
  runBefore(network) {
    this.before = network.run(this.pixels);
    this.mapsBefore = network.maps.map((map) => map.slice());
    if (network.looking >= 0) this.featuresBefore = network.seen[network.looking].slice();
  }

  showPage() {
    this.camera.stop();
    this.source = "page";
    this.pixels = this.still;
    this.controls.say("");
    this.look();
  }

  /** @param {File} file */
  async open(file) {
    if (!this.network) return;
    const pixels = await fromFile(file, this.cropped, this.network.about.shape);
    if (!pixels) {
      this.controls.say("This file is no picture that the browser can read.");
      return;
    }
    this.camera.stop();
    this.source = "file";
    this.pixels = pixels;
    this.controls.say("The picture stays in this browser. The network sees its middle.");
    this.look();
  }

  async toggleCamera() {
    if (this.source === "camera") {
      this.showPage();
      return;
    }
    this.controls.say("The browser asks whether it may use the camera.");
    const problem = await this.camera.start();
    if (!problem) this.source = "camera";
    this.controls.say(problem || "The pictures of the camera stay in this browser. The network sees their middle.");
    this.schedule();
  }

  // ---- what is shown ----------------------------------------------------------------------------------------------

  schedule() {
    if (this.frame) return;
    this.frame = window.requestAnimationFrame(() => {
      this.frame = 0;
      this.run();
    });
  }

  /** One forward with the change, and everything that shows it. */
  run() {
    const { network, data } = this;
    const chosen = this.chosen();
    if (!network || !data || !chosen) return;
    const { operation, taps } = chosen;
    const tap = this.showMap(shownTap(network.taps, operation.kinds, taps), operation);
    const intervention = this.intervention(chosen, tap);
    const begun = performance.now();
    const after = network.run(this.pixels, editOf(intervention), scalarsOf(intervention, network.about.scalars));
    this.times = [...this.times, performance.now() - begun].slice(-TIMED);
    if (tap) {
      this.editor.picture = isPlaced(tap) ? this.picture : null;
      this.editor.update(fieldOf(tap, this.mapsBefore[this.shown]), fieldOf(tap, network.maps[this.shown]));
      const { looking } = network;
      if (looking >= 0) this.features.show(network.about.looks[looking], this.featuresBefore, network.seen[looking]);
    }
    const truth = this.source === "page" ? data.truth : null;
    this.answer.show({ classes: network.about.classes, before: this.before, after, truth, says: true });
    this.controls.show({ ...chosen, operations: data.operations, source: this.source });
    this.finding.disabled = this.source !== "page" || operation.name === "paint";
    const middle = [...this.times].sort((a, b) => a - b)[this.times.length >> 1];
    setText(this.speed, `Computed in this browser in ${middle.toFixed(1)} ms. The server is not asked.`);
  }

  /**
   * @param {NonNullable<ReturnType<Surgery["chosen"]>>} chosen
   * @param {Tap | null} tap the map on the canvas
   * @returns {Intervention}
   */
  intervention({ operation, taps, amount, seed }, tap) {
    const made = { operation: operation.name, amount: amount.value, taps, seed };
    if (operation.name !== "paint" || !tap) return made;
    const { cells } = this.editor.painting;
    const weights = Float32Array.from(cells, (cell) => (cell === PAINTED ? tap.painted : cell === ERASED ? 0 : NaN));
    // the channels of one map are not those of another
    if (tap.kind === "channel") return { ...made, taps: [tapOf(tap.name)], painted: { weights, grid: null, cells: null } };
    return { ...made, painted: { weights, grid: gridOf(tap), cells: tap.cells } };
  }

  /**
   * The canvas shows a map, to be painted on or not.
   * @param {number} index
   * @param {Operation} operation
   * @returns {Tap | null} its tap
   */
  showMap(index, operation) {
    const { network, editor, choice } = this;
    if (!network || !choice || index < 0) return null;
    const tap = network.taps[index];
    const paintable = operation.name === "paint";
    if (index === this.shown && editor.data?.paintable === paintable) return tap;
    const grid = gridOf(tap);
    const kept = this.shown < 0 || index === this.shown;
    if (!kept) choice.strokes = ""; // what was painted belongs to the map before
    const strokes = cellsFromText(choice.strokes, grid[0] * grid[1]);
    this.shown = index;
    network.looking = tap.features ?? -1;
    this.features.root.hidden = network.looking < 0;
    if (network.looking >= 0) this.runBefore(network); // the features of another block were not kept
    const title = this.data?.titles[tap.name] ?? tap.name;
    setText(this.title, tap.kind in NOTES ? `${title} · ${NOTES[tap.kind]}` : title);
    const factor = tap.scale === "factor";
    const centre = tap.neutral ?? 0;
    const values = fieldOf(tap, this.mapsBefore[index]);
    const about = {
      id: `${tap.name} ${paintable}`,
      label: title,
      grid,
      frame: frameOf(tap, network.about.shape),
      channels: tap.kind === "channel",
      scale: tap.scale,
      unit: tap.scale,
      brush: PAINTED,
      bottom: factor ? centre - FACTOR_REACH : 0,
      top: factor ? centre + FACTOR_REACH : tap.scale === "softmax" ? SOFTMAX_TOP : 1,
      paintable,
      painted: strokes.some((cell) => cell) ? toBase64(strokes) : "",
      live: true,
    };
    const picture = isPlaced(tap) ? this.picture : null;
    /** @type {[number, number]} */
    const size = picture ? [picture.height, picture.width] : [0, 0];
    editor.load({ ...about, size, captions: ["original map", "after the operation"] }, values, values, picture);
    return tap;
  }
}

/**
 * Puts surgery into an element; for the offline page.
 * @param {HTMLElement} root
 * @param {SurgeryData} data
 * @param {string} still the picture, in base64
 * @param {string} content the network's file, in base64
 */
export function mountSurgery(root, data, still, content) {
  root.classList.add("surgery");
  new Surgery(root).load(data, fromBase64(still), fromBase64(content));
}

export default mounted(
  (root) => new Surgery(find(root, ".surgery", HTMLElement)),
  (view, /** @type {Call<SurgeryData & { picture: Column }>} */ { data, setStateValue }) => {
    view.fail = (why) => setStateValue("failed", { network: data.network, why });
    view.ask = (told) => setStateValue("asked", told);
    view.load(data, bytesOf(data.picture));
  },
  (view) => view.destroy(),
);
