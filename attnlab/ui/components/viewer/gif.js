// @ts-check
// GIF files (GIF89a specification, CompuServe 1990), so that a time-lapse can be saved without a server. Colours are
// counted in 5 bits per channel; one table of 256, made by median cut (Heckbert, 1982), serves all frames.

/** @typedef {Record<"n" | "red" | "green" | "blue", Float64Array>} Counts of pixels, and sums of their colours, by bin */

const BINS = 32768;

/**
 * Pixels (RGBA) as 5-bit colours; their sums are added to `counts`.
 * @param {Uint8ClampedArray} pixels
 * @param {Counts} counts
 */
export function countColours(pixels, counts) {
  const bins = new Uint16Array(pixels.length / 4);
  for (let i = 0, at = 0; i < pixels.length; i += 4, at++) {
    const bin = ((pixels[i] >> 3) << 10) | ((pixels[i + 1] >> 3) << 5) | (pixels[i + 2] >> 3);
    bins[at] = bin;
    counts.n[bin]++;
    counts.red[bin] += pixels[i];
    counts.green[bin] += pixels[i + 1];
    counts.blue[bin] += pixels[i + 2];
  }
  return bins;
}

/** @returns {Counts} */
export function emptyCounts() {
  const empty = () => new Float64Array(BINS);
  return { n: empty(), red: empty(), green: empty(), blue: empty() };
}

/**
 * At most 256 colours [r, g, b], and for each bin the index of its colour: boxes are cut at the median of their longest side.
 * @param {Counts} counts
 */
function chooseColours(counts) {
  const channel = (/** @type {number} */ bin, /** @type {number} */ which) => (bin >> (10 - 5 * which)) & 31;
  const boxOf = (/** @type {number[]} */ bins) => {
    const spans = [0, 1, 2].map((which) => {
      let low = 31;
      let high = 0;
      for (const bin of bins) {
        low = Math.min(low, channel(bin, which));
        high = Math.max(high, channel(bin, which));
      }
      return high - low;
    });
    const span = Math.max(...spans);
    const weight = bins.reduce((sum, bin) => sum + counts.n[bin], 0);
    return { bins, longest: spans.indexOf(span), worth: span * Math.sqrt(weight), weight };
  };
  let boxes = [boxOf(Array.from({ length: BINS }, (_, bin) => bin).filter((bin) => counts.n[bin]))];
  while (boxes.length < 256) {
    const widest = boxes.reduce((best, box) => (box.worth > best.worth ? box : best));
    if (!widest.worth) break;
    const sorted = widest.bins.sort((a, b) => channel(a, widest.longest) - channel(b, widest.longest));
    let before = 0;
    let cut = 0;
    while (cut < sorted.length - 1 && (cut === 0 || before + counts.n[sorted[cut]] <= widest.weight / 2)) before += counts.n[sorted[cut++]];
    boxes = boxes.filter((box) => box !== widest).concat(boxOf(sorted.slice(0, cut)), boxOf(sorted.slice(cut)));
  }
  const indexOf = new Uint8Array(BINS);
  const colours = boxes.map(({ bins, weight }, index) => {
    for (const bin of bins) indexOf[bin] = index;
    return [counts.red, counts.green, counts.blue].map((sums) => Math.round(bins.reduce((sum, bin) => sum + sums[bin], 0) / weight));
  });
  return { colours, indexOf };
}

/**
 * LZW with codes of 9 to 12 bits, in blocks of at most 255 bytes.
 * @param {Uint8Array} indices
 * @param {(...values: number[]) => void} write
 */
function compress(indices, write) {
  const [clear, end] = [256, 257];
  const table = new Uint16Array(4096 * 256);
  let next = 258;
  let size = 9;
  let pending = 0;
  let bits = 0;
  /** @type {number[]} */
  let block = [];
  const flush = () => {
    if (block.length) write(block.length, ...block);
    block = [];
  };
  const put = (/** @type {number} */ code) => {
    pending |= code << bits;
    bits += size;
    while (bits >= 8) {
      block.push(pending & 255);
      if (block.length === 255) flush();
      pending >>>= 8;
      bits -= 8;
    }
  };
  write(8);
  put(clear);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const at = (prefix << 8) | indices[i];
    if (table[at]) {
      prefix = table[at];
      continue;
    }
    put(prefix);
    prefix = indices[i];
    if (next < 4096) {
      if (next >= 1 << size) size++;
      table[at] = next++;
      continue;
    }
    put(clear);
    table.fill(0);
    next = 258;
    size = 9;
  }
  put(prefix);
  if (next >= 1 << size && size < 12) size++;
  put(end);
  if (bits) block.push(pending & 255);
  flush();
  write(0);
}

/**
 * A GIF that repeats for ever.
 * @param {number} width
 * @param {number} height
 * @param {{ bins: Uint16Array, rest: number }[]} frames what `countColours` returned, and how long it stays, in ms
 * @param {Counts} counts
 */
export function encodeGif(width, height, frames, counts) {
  let bytes = new Uint8Array(1 << 20);
  let length = 0;
  const write = (/** @type {number[]} */ ...values) => {
    if (length + values.length > bytes.length) {
      const larger = new Uint8Array(2 * bytes.length);
      larger.set(bytes);
      bytes = larger;
    }
    for (const value of values) bytes[length++] = value;
  };
  const short = (/** @type {number} */ value) => [value & 255, value >> 8];
  const { colours, indexOf } = chooseColours(counts);
  write(..."GIF89a".split("").map((letter) => letter.charCodeAt(0)), ...short(width), ...short(height), 0xf7, 0, 0);
  for (let index = 0; index < 256; index++) write(...(colours[index] ?? [0, 0, 0]));
  write(0x21, 0xff, 11, ..."NETSCAPE2.0".split("").map((letter) => letter.charCodeAt(0)), 3, 1, 0, 0, 0);
  for (const { bins, rest } of frames) {
    write(0x21, 0xf9, 4, 4, ...short(Math.round(rest / 10)), 0, 0);
    write(0x2c, 0, 0, 0, 0, ...short(width), ...short(height), 0);
    compress(Uint8Array.from(bins, (bin) => indexOf[bin]), write);
  }
  write(0x3b);
  return bytes.slice(0, length);
}
