// @ts-check
// Viewer and chart of one run point at the same training step, by an event of the page.

/** @typedef {{ group: string, source?: object, step: number }} StepDetail group: the name that the two share */

const NAME = "attnlab:step";

/**
 * @param {object} source which does not hear it itself
 * @param {string} group empty: there is nobody to tell
 * @param {number} step
 */
export function tellStep(source, group, step) {
  /** @type {StepDetail} */
  const detail = { group, source, step };
  if (group) document.dispatchEvent(new CustomEvent(NAME, { detail }));
}

/**
 * @param {object} source
 * @param {() => string} group as it is when a step is told
 * @param {(step: number) => void} hear
 * @param {AbortSignal} signal ends it
 */
export function hearSteps(source, group, hear, signal) {
  const listener = (/** @type {Event} */ event) => {
    const { detail } = /** @type {CustomEvent<StepDetail>} */ (event);
    if (group() && detail.group === group() && detail.source !== source) hear(detail.step);
  };
  document.addEventListener(NAME, listener, { signal });
}
