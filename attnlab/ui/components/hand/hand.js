// @ts-check
// A person in the place of attention: a mask painted on the features of a network, and what it says then, at once.
import { BeforeAfter } from "../before_after/before_after.js";
import { button, element, find, setPressed, setText } from "../lib/dom.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { MaskEditor } from "../mask_editor/mask_editor.js";
import { ERASED, PAINTED } from "../mask_editor/painting.js";
import { loadNetwork } from "../network/load.js";
import { canvasOf } from "../surgery/pictures.js";
import { fieldOf, frameOf, gridOf } from "../surgery/fields.js";

/** @import { Call, Column } from "../lib/mount.js" */
/** @import { Network } from "../network/network.js" */

const [STRENGTH, GATE] = [0, 1]; // the two taps, in the order of the network
const STARTS = ["everything", "nothing"];

/**
 * @typedef {object} HandData
 * @property {string} network name of its file on the server
 * @property {(number | null)[]} truths the true class of each picture
 */

class Hand {
  /** @param {HTMLElement} root */
  constructor(root) {
    /** @type {HandData | null} */
    this.data = null;
    /** @type {Uint8Array} */
    this.pictures = new Uint8Array();
    /** @type {Network | null} */
    this.network = null;
    this.address = "";
    this.picture = 0;
    this.start = 0;
    /** @type {Float32Array} */
    this.before = new Float32Array();
    /** @type {Float32Array} */
    this.strength = new Float32Array();
    /** @type {HTMLCanvasElement | null} */
    this.canvas = null;
    this.frame = 0;
    this.ofPicture = choice("Picture", [], () => {});
    this.ofStart = choice("The mask starts with", STARTS, (at) => this.choose({ start: at }));
    this.choices = element("div", "choices");
    this.said = element("p", "said");
    this.said.setAttribute("role", "status");
    const editor = element("div", "mask-editor");
    this.editor = new MaskEditor(editor);
    this.editor.follow = () => this.schedule();
    const answer = element("div", "before-after");
    this.answer = new BeforeAfter(answer);
    root.replaceChildren(this.choices, this.said, editor, answer);
    this.shown = [editor, answer];
  }

  destroy() {
    cancelAnimationFrame(this.frame);
  }

  /**
   * @param {HandData} data
   * @param {Uint8Array} pictures one after the other, as the network takes them
   */
  async load(data, pictures) {
    this.data = data;
    this.pictures = pictures;
    if (this.address === data.network) return;
    this.address = data.network;
    const names = data.truths.map((_, at) => String(at + 1));
    this.ofPicture = choice("Picture", names, (at) => this.choose({ picture: at }));
    this.choices.replaceChildren(this.ofPicture.root, this.ofStart.root);
    for (const each of [this.choices, ...this.shown]) each.hidden = true;
    setText(this.said, "Loading the network into the browser.");
    try {
      this.network = await loadNetwork(data.network);
    } catch (error) {
      setText(this.said, `The network cannot run here, because ${error instanceof Error ? error.message : error}.`);
      return;
    }
    for (const each of [this.choices, ...this.shown]) each.hidden = false;
    this.said.hidden = true;
    this.choose({});
  }

  /** @param {{ picture?: number, start?: number }} chosen */
  choose({ picture = this.picture, start = this.start }) {
    const { network, editor } = this;
    if (!network) return;
    const fresh = start !== this.start || !editor.data;
    Object.assign(this, { picture, start });
    this.ofPicture.press(picture);
    this.ofStart.press(start);
    const { shape } = network.about;
    this.canvas = canvasOf(this.pixels(), shape);
    this.before = network.run(this.pixels());
    const tap = network.taps[STRENGTH];
    this.strength = fieldOf(tap, network.maps[STRENGTH]);
    const about = {
      id: fresh ? `hand ${start}` : (editor.data?.id ?? ""), // a mask stays while the pictures change
      label: `features, ${STARTS[start]} passes`,
      grid: gridOf(tap),
      frame: frameOf(tap, shape),
      channels: false,
      scale: tap.scale,
      unit: "strength",
      brush: start ? PAINTED : ERASED,
      bottom: 0,
      top: 1,
      paintable: true,
      painted: "",
      live: true,
    };
    /** @type {[number, number]} */
    const size = [this.canvas.height, this.canvas.width];
    editor.load({ ...about, size, captions: ["X, as the network made it", "X', after your mask"] }, this.strength, this.strength, this.canvas);
    this.run();
  }

  pixels() {
    const [channels, height, width] = this.network?.about.shape ?? [0, 0, 0];
    const length = channels * height * width;
    return this.pictures.subarray(this.picture * length, (this.picture + 1) * length);
  }

  schedule() {
    if (this.frame) return;
    this.frame = window.requestAnimationFrame(() => {
      this.frame = 0;
      this.run();
    });
  }

  run() {
    const { network, data, editor } = this;
    if (!network || !data) return;
    const passes = this.start === 0 ? 1 : 0;
    const mask = Float32Array.from(editor.painting.cells, (cell) => (cell === PAINTED ? 1 : cell === ERASED ? 0 : passes));
    const after = network.run(this.pixels(), (_, weights, index) => void (index === GATE && weights.set(mask)));
    editor.update(this.strength, this.strength.map((value, at) => value * mask[at]));
    const truth = data.truths[this.picture];
    this.answer.show({ classes: network.about.classes, before: this.before, after, truth, says: true });
  }
}

/**
 * Buttons of which one is pressed.
 * @param {string} label
 * @param {readonly string[]} names
 * @param {(at: number) => void} choose
 */
function choice(label, names, choose) {
  const root = element("div", "choice");
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", label);
  const buttons = names.map((name, at) => button(name, () => choose(at), { label: `${label} ${name}` }));
  root.append(element("span", "", label), ...buttons);
  const press = (/** @type {number} */ chosen) => buttons.forEach((each, at) => void setPressed(each, at === chosen));
  return { root, press };
}

export default mounted(
  (root) => new Hand(find(root, ".hand", HTMLElement)),
  (view, /** @type {Call<HandData & { pictures: Column }>} */ { data }) => void view.load(data, bytesOf(data.pictures)),
  (view) => view.destroy(),
);
