// @ts-check
// The time-lapse: how long each training step is shown, and which one belongs to a moment.

export const FRAME_MS = 130;
export const REST_MS = 1400; // at the last one

/**
 * Position in a list of steps of the last one not later than `step`.
 * @param {number[]} steps
 * @param {number} step
 */
export function momentAt(steps, step) {
  let moment = 0;
  for (let i = 0; i < steps.length; i++) if (steps[i] <= step) moment = i;
  return moment;
}

/**
 * Where a step lies on a slider over a list of steps, from 0 at the first to 1 at the last; between two of them where
 * it lies between them.
 * @param {number[]} steps at least two, ascending
 * @param {number} step
 */
export function placeOnTrack(steps, step) {
  const at = momentAt(steps, step);
  const next = steps[at + 1];
  const part = next === undefined || step <= steps[at] ? 0 : (step - steps[at]) / (next - steps[at]);
  return (at + part) / (steps.length - 1);
}
