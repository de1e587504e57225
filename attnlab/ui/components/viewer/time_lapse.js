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
