// @ts-check

/**
 * The selected images after one more was clicked, in the order in which they were chosen. At least one stays.
 * @param {number[]} chosen
 * @param {number} index of the image that was clicked
 * @param {boolean} adding keeps the others
 * @param {number} most that may be chosen
 */
export function selectionAfter(chosen, index, adding, most) {
  if (!adding || most === 1) return [index];
  const others = chosen.filter((other) => other !== index);
  if (others.length < chosen.length) return others.length ? others : [index];
  return [...chosen.slice(0, most - 1), index];
}
