// @ts-check
// What surgery does to the weights of one map, as `attnlab.explain.surgery.operations` does it, on the map of one picture.

/** @import { Edit, Tap } from "./network.js" */

const SMALLEST_GATE = 1e-6; // gates of exactly 0 or 1 have no finite logit

/**
 * @typedef {object} Painted weights that a person gave by hand
 * @property {Float32Array} weights of each position or channel; NaN leaves it as it is; of a softmax in units of the uniform weight
 * @property {readonly [height: number, width: number] | null} grid null for channels
 * @property {Tap["cells"]} cells where the positions lie in the picture
 */
/**
 * @typedef {object} Intervention
 * @property {string} operation
 * @property {number} amount
 * @property {readonly string[] | null} taps or heads on which it acts; all where null
 * @property {number} [seed]
 * @property {Painted | null} [painted]
 */
/** Weights that compete with each other: `n` of them, `step` apart. @typedef {{ first: number, n: number, step: number }} Row */
/** What is done with the weights of a map, where they lie. @typedef {(tap: Tap, weights: Float32Array) => void} Change */

/**
 * The edit of an intervention; null where nothing is done to weights.
 * @param {Intervention} intervention
 * @returns {Edit | null}
 */
export function editOf(intervention) {
  const { operation, amount, taps } = intervention;
  const change = CHANGES[operation]?.(intervention);
  const share = operation === "temperature" ? 1 : amount;
  if (!change || !share) return null;
  return (tap, weights) => {
    if (taps && !taps.includes(tapOf(tap.name)) && !taps.includes(withoutUse(tap.name))) return;
    const before = share === 1 ? null : weights.slice();
    change(tap, weights);
    if (before) for (let at = 0; at < weights.length; at++) weights[at] = before[at] + share * (weights[at] - before[at]);
  };
}

/** The path of the tap behind a map's name. @param {string} name */
export function tapOf(name) {
  return name.split("#", 1)[0];
}

/** A map's name without the number of its use, still of one head. @param {string} name */
export function withoutUse(name) {
  const [tap, use = ""] = name.split("#");
  return use.startsWith("h") ? `${tap}#${use.split(".")[0]}` : tap;
}

/**
 * The rows of a map: the keys of each query, the branches of each channel, the channels, else the positions.
 * @param {Tap} tap
 * @param {number} length
 * @returns {Row[]}
 */
function rowsOf({ kind, shape }, length) {
  const count = kind === "channel" ? 1 : kind === "branch" ? length / shape[0] : shape[0];
  const n = length / count;
  const step = kind === "branch" ? count : 1;
  return Array.from({ length: count }, (_, row) => ({ first: kind === "branch" ? row : row * n, n, step }));
}

/**
 * A change of each row by itself.
 * @param {(weights: Float32Array, row: Row, tap: Tap) => void} one
 * @returns {Change}
 */
function byRow(one) {
  return (tap, weights) => rowsOf(tap, weights.length).forEach((row) => one(weights, row, tap));
}

/**
 * A change of each weight by itself.
 * @param {Float32Array} weights
 * @param {(weight: number) => number} one
 */
function each(weights, one) {
  for (let at = 0; at < weights.length; at++) weights[at] = one(weights[at]);
}

/** Makes a row sum to 1; one of zeros becomes uniform. @param {Float32Array} weights @param {Row} row */
function sumToOne(weights, { first, n, step }) {
  let total = 0;
  for (let at = 0; at < n; at++) total += weights[first + at * step];
  for (let at = 0; at < n; at++) weights[first + at * step] = total > 0 ? weights[first + at * step] / total : 1 / n;
}

/** @type {Change} */
function off(tap, weights) {
  weights.fill(tap.neutral ?? 1 / rowsOf(tap, weights.length)[0].n);
}

/** @type {Change} */
function uniform(tap, weights) {
  const mean = weights.reduce((total, weight) => total + weight, 0) / weights.length;
  weights.fill(tap.scale === "softmax" ? 1 / rowsOf(tap, weights.length)[0].n : mean);
}

const turnedRows = byRow((weights, row) => {
  let [low, high] = [Infinity, -Infinity];
  for (let at = 0; at < row.n; at++) {
    const weight = weights[row.first + at * row.step];
    [low, high] = [Math.min(low, weight), Math.max(high, weight)];
  }
  for (let at = 0; at < row.n; at++) weights[row.first + at * row.step] = low + high - weights[row.first + at * row.step];
  sumToOne(weights, row);
});

/** @type {Change} */
function inverted(tap, weights) {
  if (tap.scale === "softmax") turnedRows(tap, weights);
  else each(weights, (weight) => (tap.scale === "gate" ? 1 : 2 * (tap.neutral ?? 0)) - weight);
}

/** @param {number} t @returns {Change} */
function temperature(t) {
  const rows = byRow((weights, row) => {
    let most = 0;
    for (let at = 0; at < row.n; at++) most = Math.max(most, weights[row.first + at * row.step]);
    for (let at = 0; at < row.n; at++) weights[row.first + at * row.step] = (weights[row.first + at * row.step] / most) ** (1 / t);
    sumToOne(weights, row);
  });
  return (tap, weights) => {
    const centre = tap.neutral ?? 0;
    if (t === 1) return;
    if (tap.scale === "factor") each(weights, (weight) => centre + (weight - centre) / t);
    else if (tap.scale === "softmax") rows(tap, weights);
    else {
      each(weights, (weight) => {
        const inside = Math.min(Math.max(weight, SMALLEST_GATE), 1 - SMALLEST_GATE);
        return 1 / (1 + Math.exp(-Math.log(inside / (1 - inside)) / t));
      });
    }
  };
}

/** @param {number} seed @returns {Change} */
function shuffled(seed) {
  /** @type {Map<Tap, number[]>} */
  const orders = new Map();
  return (tap, weights) => {
    const rows = rowsOf(tap, weights.length);
    let order = orders.get(tap);
    if (!order) orders.set(tap, (order = orderOf(tap.seeds[seed], rows[0].n)));
    const before = weights.slice();
    for (const { first, step } of rows) order.forEach((from, at) => void (weights[first + at * step] = before[first + from * step]));
  };
}

/**
 * The places 0 to n - 1 in the order of random numbers, drawn as PyTorch draws them: the Mersenne Twister (Matsumoto and
 * Nishimura 1998), of each number 24 bits.
 * @param {number} seed 32 bits
 * @param {number} n
 */
export function orderOf(seed, n) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let at = 1; at < 624; at++) state[at] = Math.imul(1812433253, state[at - 1] ^ (state[at - 1] >>> 30)) + at;
  /** @type {number[]} */
  const drawn = [];
  for (let at = 0; at < n; at++) {
    const place = at % 624;
    const next = (state[place] & 0x80000000) | (state[(place + 1) % 624] & 0x7fffffff);
    state[place] = state[(place + 397) % 624] ^ (next >>> 1) ^ (next & 1 ? 0x9908b0df : 0);
    let y = state[place];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    drawn.push(y & 0xffffff);
  }
  return drawn.map((_, at) => at).sort((a, b) => drawn[a] - drawn[b]);
}

/** @param {Painted | null | undefined} painted @returns {Change | null} */
function paint(painted) {
  if (!painted) return null;
  return (tap, weights) => {
    const rows = rowsOf(tap, weights.length);
    const { n } = rows[0];
    if (tap.kind === "branch" || !painted.grid !== (tap.kind === "channel")) return;
    if (!painted.grid && painted.weights.length !== n) return;
    const given = painted.grid ? atCells(painted, tap) : painted.weights;
    const softmax = tap.scale === "softmax";
    for (const row of rows) {
      for (let at = 0; at < given.length; at++) {
        const weight = given[at];
        if (!Number.isNaN(weight)) weights[row.first + tap.prefix + at] = softmax ? weight / n : weight;
      }
      if (softmax) sumToOne(weights, row);
    }
  };
}

/**
 * What is painted at each cell of a map: the nearest painted position.
 * @param {Painted} painted
 * @param {Tap} tap
 */
function atCells({ weights, grid, cells }, tap) {
  const [height, width] = /** @type {[number, number]} */ (grid);
  const known = cells && tap.cells;
  const sides = [height, width].map((count, side) => {
    const others = tap.grid[side];
    const [start, step] = known ? cells[side] : [0.5, 1];
    const [otherStart, otherStep] = known && tap.cells ? tap.cells[side] : [(0.5 * count) / others, count / others];
    const nearest = (/** @type {number} */ at) => Math.floor((otherStart + otherStep * at - (start - step / 2)) / step);
    return Array.from({ length: others }, (_, at) => Math.min(Math.max(nearest(at), 0), count - 1));
  });
  return Float32Array.from({ length: sides[0].length * sides[1].length }, (_, at) => {
    const row = sides[0][Math.floor(at / sides[1].length)];
    return weights[row * width + sides[1][at % sides[1].length]];
  });
}

/** @param {string} kind @returns {Change} */
function alone(kind) {
  return (tap, weights) => void (tap.kind === kind || off(tap, weights));
}

/** Gamma is no weight of a map: the network is run with another number. @type {Record<string, (intervention: Intervention) => Change | null>} */
const CHANGES = {
  off: () => off,
  uniform: () => uniform,
  shuffle: ({ seed = 0 }) => shuffled(seed),
  temperature: ({ amount }) => temperature(amount),
  invert: () => inverted,
  paint: ({ painted }) => paint(painted),
  channel_alone: () => alone("channel"),
  spatial_alone: () => alone("spatial"),
};

/**
 * The learned numbers that an intervention sets, by name: those beside the taps on which it acts.
 * @param {Intervention} intervention
 * @param {readonly { name: string }[]} scalars
 * @returns {Record<string, number>}
 */
export function scalarsOf({ operation, amount, taps }, scalars) {
  if (operation !== "gamma") return {};
  const holder = (/** @type {string} */ name) => tapOf(name).split(".").slice(0, -1).join(".");
  const holders = taps?.map(holder);
  const names = scalars.map(({ name }) => name).filter((name) => !holders || holders.includes(holder(name)));
  return Object.fromEntries(names.map((name) => [name, amount]));
}
