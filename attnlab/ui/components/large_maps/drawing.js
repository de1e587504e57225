// A part of the picture of rows (rows.py joins it with rows.js): arithmetic and drawing of one row, and its link.
//
// A row is a Float32Array in units of the uniform weight. It travels as float16 shares of its greatest weight.

// The state in the link: rl the map, rq the position, rp the pins, rc a column instead of a row, rh the head from 1.
const SHARES = /^\d(\.\d+)?_\d(\.\d+)?(~\d(\.\d+)?_\d(\.\d+)?)*$/;

export function rowsFromLink(search, most) {
  const given = new URLSearchParams(search);
  const count = (name) => (/^\d{1,3}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : 0);
  const places = (name) =>
    SHARES.test(given.get(name) ?? "")
      ? given.get(name).split("~").map((pair) => {
          const [u, v] = pair.split("_").map(Number);
          return { u: Math.min(u, 1), v: Math.min(v, 1) };
        })
      : [];
  const [cursor = { u: 0.5, v: 0.5 }] = places("rq");
  return { layer: count("rl"), cursor, pins: places("rp").slice(0, most), column: given.get("rc") === "1", head: count("rh") - 1 };
}

export function linkWithRows(href, state) {
  const url = new URL(href);
  const text = ({ u, v }) => `${u.toFixed(4)}_${v.toFixed(4)}`;
  const told = {
    rl: state.layer || "",
    rq: text(state.cursor),
    rp: state.pins.map(text).join("~"),
    rc: state.column ? 1 : "",
    rh: state.head >= 0 ? state.head + 1 : "",
  };
  for (const [name, value] of Object.entries(told)) {
    if (value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return url.href;
}

// The cell of a grid [height, width] at a share of the picture, and the middle of a cell as a share.
export function cellAt({ u, v }, [height, width]) {
  const within = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
  return [within(v, height), within(u, width)];
}

export function middleOf([row, column], [height, width]) {
  return { u: (column + 0.5) / width, v: (row + 0.5) / height };
}

// What is told by the server, with its numbers read: {weights, grid, best, low, high}.
export function readAnswer({ peak, shares }, grid) {
  const bytes = Uint8Array.from(atob(shares), (letter) => letter.charCodeAt(0));
  const halves = new DataView(bytes.buffer);
  const weights = Float32Array.from({ length: bytes.length / 2 }, (_, at) => peak * fromHalf(halves.getUint16(2 * at, true)));
  let best = 0;
  let low = Infinity;
  weights.forEach((weight, at) => {
    if (weight > weights[best]) best = at;
    low = Math.min(low, weight);
  });
  return { weights, grid, best, low, high: weights[best] };
}

// A finite float16 that is not negative, from its bits: browsers without Float16Array are still in use.
export function fromHalf(bits) {
  const exponent = bits >> 10;
  const fraction = bits & 1023;
  return exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
}

// The row in colours, one pixel a weight: from 0 to SOFTMAX_TOP times uniform, or from its least to its greatest weight.
export function paintRow(answer, colours, stretched) {
  const [height, width] = answer.grid;
  const low = stretched ? answer.low : 0;
  const span = (stretched ? answer.high - low : SOFTMAX_TOP) || 1;
  const rgb = colourTable(colours);
  const image = new ImageData(width, height);
  for (let at = 0; at < answer.weights.length; at++) {
    const level = Math.round(Math.min(Math.max((answer.weights[at] - low) / span, 0), 1) * 255);
    image.data[4 * at] = rgb[3 * level];
    image.data[4 * at + 1] = rgb[3 * level + 1];
    image.data[4 * at + 2] = rgb[3 * level + 2];
    image.data[4 * at + 3] = 255;
  }
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export function colourTable(name) {
  return Uint8Array.from(atob(COLOUR_TABLES[name].rgb), (letter) => letter.charCodeAt(0));
}

// RGB bytes as a canvas.
export function paintImage(bytes, [height, width]) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const image = new ImageData(width, height);
  for (let i = 0, from = 0; i < image.data.length; i += 4, from += 3) {
    image.data.set(bytes.subarray(from, from + 3), i);
    image.data[i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// A cell, in black and white so that it is seen on every colour; small cells get a box that can be seen.
export function markCell(context, [row, column], [height, width], canvas) {
  const wide = Math.max(canvas.width / width, 7);
  const tall = Math.max(canvas.height / height, 7);
  const x = ((column + 0.5) * canvas.width) / width - wide / 2;
  const y = ((row + 0.5) * canvas.height) / height - tall / 2;
  context.lineWidth = 4;
  context.strokeStyle = "#000";
  context.strokeRect(x, y, wide, tall);
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.strokeRect(x, y, wide, tall);
}

export function markCross(context, { u, v }, canvas) {
  const [x, y, reach] = [u * canvas.width, v * canvas.height, 9];
  for (const [width, colour] of [[4, "#000"], [1.5, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(x - reach, y);
    context.lineTo(x + reach, y);
    context.moveTo(x, y - reach);
    context.lineTo(x, y + reach);
    context.stroke();
  }
}

export function placeWords([row, column]) {
  return `row ${row}, column ${column}`;
}

export function timesUniform(weight) {
  return `${weight >= 10 ? weight.toFixed(1) : weight.toFixed(2)} × uniform`;
}
