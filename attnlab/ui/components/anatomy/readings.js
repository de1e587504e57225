// @ts-check
// The numbers of a tensor at a position and a channel.

/** @typedef {"channel" | "row" | "column" | "position" | "key" | "channel-row" | "other"} AxisName */
/** @typedef {{ row: number, column: number, channel: number }} Spot */

/**
 * The numbers that belong to a spot, in reading order: one where every side has a place, else one for each number of the
 * sides that have none.
 * @param {ArrayLike<number>} values
 * @param {readonly number[]} sides
 * @param {readonly AxisName[]} axes
 * @param {Spot} spot
 * @param {readonly number[]} features C, H and W of what enters the block
 */
export function pick(values, sides, axes, { row, column, channel }, [, height, width]) {
  /** @type {number[]} */
  let places = [0];
  sides.forEach((side, at) => {
    /** @type {Record<string, number>} */
    const found = {
      channel,
      row: Math.floor((row * side) / height),
      column: Math.floor((column * side) / width),
      position: row * width + column,
      "channel-row": channel * height + row,
    };
    const own = axes[at] in found ? [Math.min(found[axes[at]], side - 1)] : Array.from({ length: side }, (_, each) => each);
    places = places.flatMap((place) => own.map((each) => place * side + each));
  });
  return places.map((place) => values[place]);
}

/**
 * Where the largest of the weights of a query lies, in words; empty where the sides are no keys.
 * @param {readonly number[]} numbers of one or more heads
 * @param {number} side keys of a head; those that have no position come first
 * @param {readonly number[]} features
 */
export function largestKey(numbers, side, [, height, width]) {
  const first = side - height * width;
  if (first < 0 || numbers.length < side) return "";
  let best = first;
  for (let at = first; at < side; at++) if (numbers[at] > numbers[best]) best = at;
  const place = best - first;
  return `row ${Math.floor(place / width)}, column ${place % width}`;
}
