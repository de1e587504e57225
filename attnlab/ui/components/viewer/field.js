// @ts-check
// What of a layer is shown now (the field), and on which scale.
//
// Shown values: a gate or a factor as it is; a softmax weight relative to uniform attention, N times the weight, so that 1 is
// average; entropy as its share of the greatest possible. The scale of factors is as long on both sides of the value that
// changes nothing, and its colours tell the sides apart. Fixed ends ("absolute") are the default, stretching is a choice that is
// named.
import { FACTOR_REACH, SOFTMAX_TOP } from "../lib/colour_tables.js";
import { cellAt, WHOLE } from "../lib/grid.js";
import { cappedExtent, extent, formatNumber, formatTo } from "../lib/numbers.js";
import { columnWeights, entropyMap, layerExtent, meanWeights, rowWeights } from "./maths.js";

/** @import { Frame, Grid, Place } from "../lib/grid.js" */
/** @import { Kind } from "../../../viz/panels" */
/** @import { Layer, Panel } from "./payload.js" */
/** @import { Scope, View } from "./view.js" */

/** @type {Record<Scope, string>} */
export const SCOPE_TITLES = {
  absolute: "fixed (comparable)",
  map: "stretched to this map",
  image: "stretched to this image",
  layer: "stretched to this layer",
};

/** @type {Record<Kind, string>} */
const KIND_WORDS = {
  channel: "one weight per channel",
  spatial: "one weight per position",
  element: "one weight per channel and position",
  pairwise: "each position attends to all positions",
  branch: "for each channel, shares of several branches",
};

/**
 * @typedef {object} Field
 * @property {string} key what of the layer it is
 * @property {number} height
 * @property {number} width
 * @property {Frame} frame of the picture that the cells fill
 * @property {boolean} softmax whether the values are relative to uniform attention
 * @property {boolean} entropy
 * @property {number[]} queries indices of the positions looked from (or at)
 * @property {Layer | null} token the layer of the class token, where its row is shown
 * @property {() => Float32Array} compute the values
 */

/**
 * Factor from weights to shown values.
 * @param {Layer} layer
 */
export function shownFactor(layer) {
  return layer.scale === "softmax" ? layer.length : 1;
}

/**
 * The value that the two sides of a layer of factors are told from; null for other layers.
 * @param {Layer} layer
 */
export function centreOf(layer) {
  return layer.scale === "factor" ? (layer.neutral ?? 1) : null;
}

/**
 * The frame of the picture that the cells of a layer fill.
 * @param {{ frame: Frame | null }} layer
 * @param {{ stretch: boolean }} state
 * @returns {Frame}
 */
export function frameOf({ frame }, { stretch }) {
  return stretch || !frame ? WHOLE : frame;
}

/**
 * The field of a layer; null for channels and branches, which have no places.
 * @param {Layer | null} layer
 * @param {number} moment
 * @param {View} state
 * @param {Place[]} focus the positions looked from (or at)
 * @param {number | null} [pointed] the channel pointed at
 * @returns {Field | null}
 */
export function fieldOf(layer, moment, state, focus, pointed = null) {
  if (!layer || layer.kind === "channel" || layer.kind === "branch") return null;
  const softmax = layer.scale === "softmax";
  const frame = frameOf(layer, state);
  const shown = (/** @type {Float32Array} */ weights) => (softmax ? weights.map((weight) => weight * layer.length) : weights);
  /** @type {(key: string, grid: Grid, compute: () => Float32Array, more?: Partial<Field>) => Field} */
  const field = (key, [height, width], compute, more) => ({ key: moment + key, height, width, frame, softmax, entropy: false, queries: [], token: null, compute, ...more });
  if (layer.kind === "spatial") return field("", layer.grid, () => shown(rowWeights(layer, moment, 0)));
  if (layer.kind === "element") {
    const wanted = pointed ?? state.channel;
    if (wanted === null) return field("mean", layer.grid, () => shown(meanWeights(layer, moment, upTo(layer.rows))));
    const channel = Math.min(wanted, layer.rows - 1);
    return field(`c${channel}`, layer.grid, () => shown(rowWeights(layer, moment, channel)));
  }
  const token = tokenShown(layer, state);
  if (token) return field("t", token.grid, () => shown(rowWeights(token, moment, 0)), { token });
  if (state.pair === "entropy") {
    return field("e", layer.queries, () => entropyMap(layer, moment), { softmax: false, entropy: true });
  }
  if (state.pair === "column") {
    const keys = focus.map((at) => cellAt(layer.grid, at, frame).index);
    const received = () => meanOf(keys.map((column) => columnWeights(layer, moment, column)));
    return field(`k${keys}`, layer.queries, () => shown(received()), { queries: keys });
  }
  const queries = focus.map((at) => cellAt(layer.queries, at, frame).index);
  const rows = queries.length ? queries : upTo(layer.rows);
  const paid = () => withoutNear(layer, meanWeights(layer, moment, rows), focus, state.near, frame);
  return field(`r${queries}x${state.near}`, layer.grid, () => shown(paid()), { queries });
}

/**
 * The layer of the class token, where its row is asked for and there is one.
 * @param {Layer | null} layer
 * @param {Pick<View, "pair">} state
 */
export function tokenShown(layer, { pair }) {
  return (pair === "token" && layer?.class_token) || null;
}

/**
 * Whether a field is the mean over all positions that attend.
 * @param {Layer} layer
 * @param {Field | null} field
 */
export function ofAll(layer, field) {
  return layer.kind === "pairwise" && !!field && !field.entropy && !field.token && !field.queries.length;
}

/** @param {number} count */
function upTo(count) {
  return Array.from({ length: count }, (_, index) => index);
}

/** @param {Float32Array[]} columns */
function meanOf(columns) {
  const result = columns[0];
  for (const column of columns.slice(1)) for (let i = 0; i < result.length; i++) result[i] += column[i];
  for (let i = 0; i < result.length; i++) result[i] /= columns.length;
  return result;
}

/**
 * Sets the keys within `near` cells of a query to 0: a position mostly attends to itself, which hides the rest.
 * @param {Layer} layer
 * @param {Float32Array} values
 * @param {Place[]} focus
 * @param {number} near
 * @param {Frame} frame
 */
function withoutNear(layer, values, focus, near, frame) {
  if (!near) return values;
  const [height, width] = layer.grid;
  for (const at of focus) {
    const { row, column } = cellAt(layer.grid, at, frame);
    for (let y = Math.max(0, row - near + 1); y < Math.min(height, row + near); y++) {
      for (let x = Math.max(0, column - near + 1); x < Math.min(width, column + near); x++) values[y * width + x] = 0;
    }
  }
  return values;
}

/**
 * Both ends of the colour scale, in shown values.
 * @param {Scope} scope
 * @param {Layer} layer
 * @param {number} moment
 * @param {Field | null} field
 * @param {Float32Array} values
 * @param {Panel} panel
 * @param {Panel[]} panels
 * @returns {[low: number, high: number]}
 */
export function scaleEnds(scope, layer, moment, field, values, panel, panels) {
  const centre = centreOf(layer);
  if (centre !== null) {
    const [low, high] = scope === "absolute" ? [0, 0] : foundEnds(scope, layer, moment, field, values, panel, panels);
    const reach = scope === "absolute" ? FACTOR_REACH : Math.max(centre - low, high - centre, 1e-6);
    return [centre - reach, centre + reach];
  }
  if (scope === "absolute") return [0, field?.softmax || (!field && layer.scale === "softmax") ? SOFTMAX_TOP : 1];
  return foundEnds(scope, layer, moment, field, values, panel, panels);
}

/**
 * Both ends of what is there: in the map, the image or the layer.
 * @type {typeof scaleEnds}
 */
function foundEnds(scope, layer, moment, field, values, panel, panels) {
  if (field?.entropy || (scope === "map" && layer.scale !== "softmax")) return extent(values);
  if (scope === "map") return cappedExtent(values, SOFTMAX_TOP);
  /** @type {number[]} */
  const ends = [];
  const take = (/** @type {Layer} */ other, /** @type {number[]} */ weights) =>
    ends.push(...weights.map((weight) => weight * shownFactor(other)));
  if (scope === "image") {
    for (const other of panel.layers) {
      if (other.scale === layer.scale) take(other, layerExtent(other, [other.moments > 1 ? moment : 0]));
    }
  } else {
    for (const other of panels.flatMap(({ layers }) => layers)) {
      if (other.name === layer.name) take(other, [...layerExtent(other, upTo(other.moments)), ...(other.reference ?? [])]);
    }
  }
  return extent(ends);
}

/**
 * What a layer holds, in words.
 * @param {Layer} layer
 */
export function kindWords(layer) {
  return NEUTRAL_WORDS[layer.unit] ? KIND_WORDS[layer.kind].replace("weight", "value") : KIND_WORDS[layer.kind];
}

/** What the neutral value of a map means that no tap makes, where it is not that the features stay as they are. @type {Record<string, string>} */
const NEUTRAL_WORDS = { added: "nothing", gathered: "average" };

/**
 * What a value of a layer is called that is no softmax weight.
 * @param {Layer} layer
 */
function nameOf(layer) {
  return layer.unit || layer.scale;
}

/**
 * A shown value in words.
 * @param {Layer} layer
 * @param {Field | null} field
 * @param {number} value
 * @param {number} precision
 */
export function valueWords(layer, field, value, precision) {
  if (field?.entropy) return `entropy ${formatNumber(value)} of 1`;
  if (layer.scale !== "softmax") return `${nameOf(layer)} ${formatTo(value, precision)}`;
  const times = formatTo(value, precision * layer.length);
  return `${times}× uniform (weight ${formatTo(value / layer.length, precision)})`;
}

/**
 * The line under the colour bar: what the colours stand for, and what they do not show.
 * @param {View} state
 * @param {Layer} layer
 * @param {Field | null} field
 * @param {readonly [low: number, high: number]} ends
 * @param {Float32Array} values
 */
export function scaleWords({ scope, smooth, blend }, layer, field, [low, high], values) {
  const what = field?.entropy
    ? "entropy of each position's attention (1 = uniform)"
    : layer.scale === "softmax"
      ? `weight relative to uniform attention (1 = average)${field?.token ? ", given by the class token" : ofAll(layer, field) ? ", mean over all positions; point at one for its own" : ""}`
      : `${nameOf(layer)} value${layer.neutral === null ? "" : ` (${formatNumber(layer.neutral)} = ${NEUTRAL_WORDS[layer.unit] ?? "unchanged"})`}`;
  const over = field?.entropy ? "map" : scope;
  const stretched = `colours stretched to this ${over}: ${formatNumber(low)} to ${formatNumber(high)}`;
  const above = values.reduce((count, value) => count + Number(isAbove(value, high)), 0);
  const cells = field ? "cells" : "channels";
  const saturated = above ? `${above} of ${values.length} ${cells} above ${formatNumber(high)}, up to ${formatNumber(extent(values)[1])}` : "";
  const below = values.reduce((count, value) => count + Number(isBelow(value, low)), 0);
  const sunk = below ? `${below} of ${values.length} ${cells} below ${formatNumber(low)}, down to ${formatNumber(extent(values)[0])}` : "";
  const between = blend === "contour" ? "contours drawn on a smoothed map" : smooth ? "colours between cell centres are interpolated" : "";
  const fixed = high === SOFTMAX_TOP ? `fixed scale, capped at ${high}` : "fixed scale";
  const parts = [what, scope === "absolute" ? fixed : stretched, saturated, sunk, field ? between : ""];
  return parts.filter(Boolean).join(" · ");
}

/**
 * Whether a shown value lies above the colour scale, by more than its rounding.
 * @param {number} value
 * @param {number} high
 */
export function isAbove(value, high) {
  return value > high * 1.001;
}

/**
 * Whether a shown value lies below the colour scale, by more than its rounding.
 * @param {number} value
 * @param {number} low
 */
export function isBelow(value, low) {
  return value < low - 0.001 * Math.max(1, Math.abs(low));
}
