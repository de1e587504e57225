// @ts-check
// A network from a file of attnlab (`explain/in_browser/packing.py`), run here: a picture in, probabilities out, and every attention
// map on the way can be looked at and replaced.
import { fromBase64 } from "../lib/base64.js";
import { KERNELS, plainMatmul } from "./kernels.js";
import { MATMUL_WASM } from "./matmul_wasm.js";

/** @import { Memory, Step } from "./kernels.js" */
/** @import { Scale } from "../../../viz/panels" */

const NARROW = 8; // columns that the WebAssembly needs
const PAGE = 65536;

/**
 * @typedef {object} Tap where the weights of one map pass
 * @property {string} name
 * @property {string} kind channel, spatial, element, pairwise or branch
 * @property {Scale} scale
 * @property {number[]} shape of the weights
 * @property {[number, number]} grid of the keys behind a pairwise map, else of the map itself
 * @property {number | null} neutral the weight with which the block does nothing
 * @property {number} painted the weight that painting gives, of a softmax in units of the uniform one
 * @property {number} prefix keys that have no position; they come first
 * @property {[number, number] | null} queries grid of the queries
 * @property {[[number, number], [number, number]] | null} cells where the first cell is centred and how far the next is, in pixels; down and across
 * @property {number | null} features which of the `looks` are the features that leave the block of this map
 * @property {number[]} seeds with which the operation "shuffled" begins, by the seed that a person chooses
 */
/**
 * @typedef {object} Description
 * @property {[number, number, number]} shape of the picture: channels, height, width
 * @property {number[]} mean
 * @property {number[]} std
 * @property {string[]} classes
 * @property {Tap[]} taps
 * @property {[number, number, number][]} looks shapes (channels, height, width) of features that can be looked at
 * @property {number} floats
 * @property {number} scratch
 * @property {number} input
 * @property {{ at: number, n: number }} output
 * @property {{ name: string, at: number, value: number }[]} scalars learned numbers that scale a whole map
 * @property {Step[]} steps
 */

/** Changes the weights of one map where they lie. @typedef {(tap: Tap, weights: Float32Array, index: number) => void} Edit */

export class Network {
  /**
   * @param {Uint8Array} content of the file
   * @param {boolean} [plain] without WebAssembly
   */
  constructor(content, plain = false) {
    const length = new DataView(content.buffer, content.byteOffset).getUint32(0, true);
    /** @type {Description} */
    this.about = JSON.parse(new TextDecoder().decode(content.subarray(4, 4 + length)));
    const { about } = this;
    const memory = plain ? null : wasmMemory(about.floats);
    const bytes = memory ? memory.buffer : new ArrayBuffer(4 * about.floats);
    const numbers = content.slice(4 + length);
    new Uint8Array(bytes).set(numbers);
    const f = new Float32Array(bytes);
    this.f = f;
    /** @type {Memory} */
    const whole = { f, places: new Int32Array(bytes), scratch: about.scratch, matmul: memory ? fastMatmul(memory, f) : plainMatmul(f) };
    /** @type {Edit | null} */
    this.edit = null;
    this.taps = about.taps;
    /** The weights of each map in the last run, after the edit. */
    this.maps = this.taps.map(({ shape }) => new Float32Array(shape.reduce((product, side) => product * side, 1)));
    /** Which of the looks the next run keeps; -1 for none. */
    this.looking = -1;
    /** What was seen there. */
    this.seen = about.looks.map(([channels, height, width]) => new Float32Array(channels * height * width));
    this.steps = about.steps.map((step) => {
      if (step.do === "tap") return this.stop(step);
      return step.do === "look" ? this.look(step) : KERNELS[step.do](whole, step);
    });
  }

  /**
   * @param {Step} step at which weights pass a tap
   * @returns {() => void}
   */
  stop({ o, i: [x], tap, n }) {
    const { f } = this;
    const weights = f.subarray(o, o + n);
    return () => {
      f.copyWithin(o, x, x + n);
      this.edit?.(this.taps[tap], weights, tap);
      this.maps[tap].set(weights);
    };
  }

  /**
   * @param {Step} step at which features can be looked at
   * @returns {() => void}
   */
  look({ i: [x], look, n }) {
    const features = this.f.subarray(x, x + n);
    return () => {
      if (look === this.looking) this.seen[look].set(features);
    };
  }

  /** @param {ArrayLike<number>} pixels 0 to 255, channel by channel */
  show(pixels) {
    const { input, shape, mean, std } = this.about;
    const area = shape[1] * shape[2];
    for (let channel = 0; channel < shape[0]; channel++) {
      for (let at = channel * area; at < (channel + 1) * area; at++) {
        this.f[input + at] = (pixels[at] / 255 - mean[channel]) / std[channel];
      }
    }
  }

  /**
   * Runs the network on the picture that is shown to it.
   * @param {ArrayLike<number>} pixels as in `show`
   * @param {Edit | null} [edit] done to each map as it passes, before the maps behind it are made
   * @param {Record<string, number>} [scalars] learned numbers that are others for this run
   * @returns {Float32Array} the probability of each class
   */
  run(pixels, edit = null, scalars = {}) {
    for (const { name, at, value } of this.about.scalars) this.f[at] = scalars[name] ?? value;
    this.show(pixels);
    this.edit = edit;
    for (const step of this.steps) step();
    const { at, n } = this.about.output;
    return this.f.slice(at, at + n);
  }
}

/** @param {number} floats @returns {WebAssembly.Memory | null} */
function wasmMemory(floats) {
  return typeof WebAssembly === "undefined" ? null : new WebAssembly.Memory({ initial: Math.ceil((4 * floats) / PAGE) });
}

/**
 * @param {WebAssembly.Memory} memory
 * @param {Float32Array} f the same memory
 * @returns {Memory["matmul"]}
 */
function fastMatmul(memory, f) {
  const plain = plainMatmul(f);
  /** @type {WebAssembly.Exports[string]} */
  let fast;
  try {
    const module = new WebAssembly.Module(fromBase64(MATMUL_WASM));
    fast = new WebAssembly.Instance(module, { env: { memory } }).exports.matmul;
  } catch {
    return plain; // an old browser, or a page whose policy forbids it
  }
  const multiply = /** @type {(...numbers: number[]) => void} */ (fast);
  return (a, b, c, m, n, k, bias, relu) => {
    if (n < NARROW) plain(a, b, c, m, n, k, bias, relu);
    else multiply(4 * a, 4 * b, 4 * c, m, n, k, 4 * bias, Number(relu));
  };
}
