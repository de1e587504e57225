// A part of the attention viewer: what of a layer is shown now (the field), on which scale, and in which colours.
//
// Shown values: a gate as it is; a softmax weight as N x weight, so that 1 is what uniform attention gives; entropy as
// its share of the greatest possible. Fixed ends ("absolute") are the default, stretching is a choice that is named.

export const SCOPES = {
  absolute: "fixed, comparable",
  map: "stretched: this map",
  image: "stretched: this image",
  layer: "stretched: this layer",
};

export const KIND_WORDS = {
  channel: "one gate a channel",
  spatial: "one weight a position",
  element: "one gate a channel and position",
  pairwise: "every position looks at every position",
};

// Factor from weights to shown values.
export function shownFactor(layer) {
  return layer.scale === "softmax" ? layer.length : 1;
}

export function cellAt(grid, { u, v }) {
  const row = Math.min(Math.max(Math.floor(v * grid[0]), 0), grid[0] - 1);
  const column = Math.min(Math.max(Math.floor(u * grid[1]), 0), grid[1] - 1);
  return { row, column, index: row * grid[1] + column };
}

// The field of a layer: {key, values, height, width, softmax, entropy, queries}, or null for a channel map.
// `focus` are the positions looked from (or at), in shares of the picture; `pointed` is the channel pointed at, or null.
export function fieldOf(layer, moment, state, focus, pointed = null) {
  if (!layer || layer.kind === "channel") return null;
  const factor = shownFactor(layer);
  const field = { softmax: layer.scale === "softmax", entropy: false, queries: [] };
  [field.height, field.width] = layer.grid;
  let values;
  if (layer.kind === "spatial") {
    field.key = `${moment}`;
    values = () => rowWeights(layer, moment, 0);
  } else if (layer.kind === "element") {
    const wanted = pointed ?? state.channel;
    const channel = wanted === null ? null : Math.min(wanted, layer.rows - 1);
    field.key = `${moment}c${channel}`;
    values = () => (channel === null ? meanWeights(layer, moment, allRows(layer)) : rowWeights(layer, moment, channel));
  } else if (state.pair === "entropy") {
    [field.height, field.width] = layer.queries;
    field.key = `${moment}e`;
    field.entropy = true;
    field.softmax = false;
    values = () => entropyMap(layer, moment);
  } else if (state.pair === "column") {
    [field.height, field.width] = layer.queries;
    field.queries = focus.map((at) => cellAt(layer.grid, at).index);
    field.key = `${moment}k${field.queries}`;
    values = () => meanOf(field.queries.map((column) => columnWeights(layer, moment, column)));
  } else {
    field.queries = focus.map((at) => cellAt(layer.queries, at).index);
    field.key = `${moment}r${field.queries}x${state.near}`;
    values = () => withoutNear(layer, meanWeights(layer, moment, field.queries), focus, state.near);
  }
  field.compute = () => {
    const result = values();
    if (factor !== 1 && !field.entropy) for (let i = 0; i < result.length; i++) result[i] *= factor;
    return result;
  };
  return field;
}

function allRows(layer) {
  return Array.from({ length: layer.rows }, (_, row) => row);
}

function meanOf(columns) {
  const result = columns[0];
  for (const column of columns.slice(1)) for (let i = 0; i < result.length; i++) result[i] += column[i];
  for (let i = 0; i < result.length; i++) result[i] /= columns.length;
  return result;
}

// Sets the keys within `near` cells of a query to nothing: a position mostly looks at itself, which hides the rest.
function withoutNear(layer, values, focus, near) {
  if (!near) return values;
  const [height, width] = layer.grid;
  for (const at of focus) {
    const { row, column } = cellAt(layer.grid, at);
    for (let y = Math.max(0, row - near + 1); y < Math.min(height, row + near); y++) {
      for (let x = Math.max(0, column - near + 1); x < Math.min(width, column + near); x++) values[y * width + x] = 0;
    }
  }
  return values;
}

// Both ends of the colour scale, in shown values.
export function scaleEnds(scope, layer, moment, field, values, panel, panels) {
  if (scope === "absolute") return [0, field?.softmax || (!field && layer.scale === "softmax") ? SOFTMAX_TOP : 1];
  if (scope === "map" || field?.entropy) return extent(values);
  let low = Infinity;
  let high = -Infinity;
  const take = (other, moments) => {
    const ends = layerExtent(other, moments).map((end) => end * shownFactor(other));
    low = Math.min(low, ends[0]);
    high = Math.max(high, ends[1]);
  };
  if (scope === "image") {
    for (const other of panel.layers) if (other.scale === layer.scale) take(other, [other.moments > 1 ? moment : 0]);
  } else {
    for (const { layers } of panels) {
      for (const other of layers) {
        if (other.name !== layer.name) continue;
        take(other, allMoments(other));
        if (other.reference) {
          low = Math.min(low, other.reference[0] * shownFactor(other));
          high = Math.max(high, other.reference[1] * shownFactor(other));
        }
      }
    }
  }
  return [low, high];
}

function allMoments(layer) {
  return Array.from({ length: layer.moments }, (_, moment) => moment);
}

// Values as levels 0 to 255 between two ends.
export function levelsOf(values, low, high) {
  const factor = high > low ? 255 / (high - low) : 0;
  const result = new Uint8ClampedArray(values.length);
  for (let i = 0; i < values.length; i++) result[i] = (values[i] - low) * factor;
  return result;
}

const palettes = new Map();

// A colour map as 256 packed pixels (opaque, little endian) and 256 CSS colours.
export function palette(name) {
  if (!palettes.has(name)) {
    const rgb = Uint8Array.from(atob(COLOUR_TABLES[name].rgb), (letter) => letter.charCodeAt(0));
    const pixels = new Uint32Array(256);
    const css = [];
    for (let i = 0; i < 256; i++) {
      const [red, green, blue] = rgb.subarray(3 * i, 3 * i + 3);
      pixels[i] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      css.push(`rgb(${red} ${green} ${blue})`);
    }
    palettes.set(name, { pixels, css });
  }
  return palettes.get(name);
}

// How a shown value reads in words.
export function valueWords(layer, field, value, precision) {
  if (field?.entropy) return `entropy ${formatNumber(value)} of 1`;
  if (layer.scale !== "softmax") return `gate ${formatTo(value, precision)}`;
  const times = formatTo(value, precision * layer.length);
  return `${times} × uniform (weight ${formatTo(value / layer.length, precision)})`;
}

// The line under the colour bar.
export function scaleWords(scope, layer, field, [low, high]) {
  const what = field?.entropy
    ? "entropy of each position's row, 1 = uniform"
    : layer.scale === "softmax"
      ? "N × weight, 1 = uniform"
      : "gate, 1 lets all through";
  if (scope === "absolute") return `${what} · fixed scale`;
  const over = field?.entropy ? "this map" : { map: "this map", image: "this image", layer: "this layer" }[scope];
  return `${what} · colours stretched to ${over}: ${formatNumber(low)} to ${formatNumber(high)}`;
}
