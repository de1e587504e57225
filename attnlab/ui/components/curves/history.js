// @ts-check
// What is known of a run, which grows by the rows that arrive.

/** @typedef {{ step: number, train_loss: number | null, train_accuracy: number | null, validation_loss: number | null, validation_accuracy: number | null }} Epoch */

/**
 * @typedef {object} RunRows what the Python side sends of a run
 * @property {string} id
 * @property {string} label
 * @property {number} colour index of the run's group
 * @property {number} sibling counts the runs of one group
 * @property {number} attempt rises when a run is started again; its rows are then sent anew
 * @property {number} steps_per_epoch 0 while unknown
 * @property {number | null} tested step at the end of the epoch that was tested
 * @property {number} since how many steps were sent before
 * @property {number[]} step
 * @property {(number | null)[]} loss
 * @property {number} epochs_since
 * @property {Epoch[]} epochs
 */

/** Steps, losses and epochs of one attempt of a run. */
export class History {
  /** @param {number} attempt */
  constructor(attempt) {
    this.attempt = attempt;
    /** @type {number[]} */
    this.step = [];
    /** @type {(number | null)[]} */
    this.loss = [];
    /** @type {Epoch[]} */
    this.epochs = [];
  }

  /**
   * Appends the rows that are new.
   * @param {RunRows} rows
   * @returns whether there is no gap between what is known and what arrived; nothing is appended otherwise
   */
  append(rows) {
    if (rows.since > this.step.length || rows.epochs_since > this.epochs.length) return false;
    this.step.length = this.loss.length = rows.since;
    this.epochs.length = rows.epochs_since;
    for (const step of rows.step) this.step.push(step);
    for (const loss of rows.loss) this.loss.push(loss);
    for (const epoch of rows.epochs) this.epochs.push(epoch);
    return true;
  }

  get lastStep() {
    return Math.max(this.step.at(-1) ?? 0, this.epochs.at(-1)?.step ?? 0);
  }
}
