// @ts-check
// What a person chose in surgery, as the page's address holds it and as the network takes it.
import { numberField, readLink, usualState, wholeField, writeLink } from "../lib/link.js";

/** @import { Field, Fields } from "../lib/link.js" */

export const IN_VIEW = "the map shown above";
export const EVERYWHERE = "every map";
const REACH = 1; // of the slider of gamma, since networks learn a few hundredths to tenths
const USUAL_TEMPERATURE = 0.5;

/**
 * @typedef {object} Operation
 * @property {string} name
 * @property {string} title
 * @property {string} meaning
 * @property {string[]} kinds of maps that it changes
 * @property {boolean} whole it acts on all maps
 * @property {string} label of its amount
 * @property {number} low
 * @property {number} high
 */
/** @typedef {{ name: string, title: string, kind: string }} Place a tap or one of its heads */
/**
 * @typedef {object} Choice
 * @property {string} operation title of it
 * @property {string} where a place, or one of the two words above; empty for the usual one
 * @property {number} strength
 * @property {number} temperature
 * @property {number | null} gamma null for what was learned
 * @property {number} seed
 * @property {string} strokes the painted cells, see `cellsToText`
 */

/** Any text. @param {string} name @param {string} usual @returns {Field<string>} */
function text(name, usual) {
  return { name, usual, read: (value) => value, write: (value) => value };
}

/**
 * @param {readonly Operation[]} operations
 * @returns {Fields<Choice>}
 */
function fieldsOf(operations) {
  return {
    operation: { ...text("operation", operations[0].title), read: (title) => operations.find((each) => each.title === title)?.title },
    where: text("where", ""),
    strength: numberField("strength", 1, 0, 1),
    temperature: numberField("temperature", USUAL_TEMPERATURE, 0.1, 10),
    gamma: /** @type {Field<number | null>} */ ({ ...numberField("gamma", 0, -2 * REACH, 2 * REACH), usual: null }),
    seed: wholeField("draw", 0, 0, 999),
    strokes: { ...text("strokes", ""), read: (value) => (/^[0-2]x\d{1,6}(\.[0-2]x\d{1,6})*$/.test(value) ? value : undefined) },
  };
}

/**
 * What is chosen at first: what the address holds.
 * @param {readonly Operation[]} operations
 * @param {string} search
 * @returns {Choice}
 */
export function firstChoice(operations, search) {
  const fields = fieldsOf(operations);
  return { ...usualState(fields), ...readLink(fields, search) };
}

/**
 * An address that holds a choice.
 * @param {readonly Operation[]} operations
 * @param {string} href
 * @param {Choice} choice
 */
export function withChoice(operations, href, choice) {
  return writeLink(fieldsOf(operations), href, choice);
}

/**
 * The places that can be chosen for an operation, the usual one first.
 * @param {Operation} operation
 * @param {readonly Place[]} places
 * @param {string | null} inView the place whose map is in view
 * @returns {[value: string, title: string][]}
 */
export function placesFor(operation, places, inView) {
  if (operation.whole) return [[EVERYWHERE, EVERYWHERE]];
  const fitting = places.filter(({ kind }) => operation.kinds.includes(kind));
  const shown = fitting.some(({ name }) => name === inView) ? [IN_VIEW] : [];
  return [
    ...[...shown, EVERYWHERE].map((word) => /** @type {[string, string]} */ ([word, word])),
    ...fitting.map(({ name, title }) => /** @type {[string, string]} */ ([name, title])),
  ];
}

/**
 * The taps or heads on which an operation acts; null for all.
 * @param {string} where one of `placesFor`
 * @param {string | null} inView
 * @returns {string[] | null}
 */
export function tapsOf(where, inView) {
  if (where === IN_VIEW && inView) return [inView];
  return where === EVERYWHERE ? null : [where];
}

/** @typedef {{ value: number, low: number, high: number, logarithmic: boolean, learned: readonly number[] }} Amount learned: values of gamma */

/**
 * The number that an operation takes, and the slider for it.
 * @param {Operation} operation
 * @param {Choice} choice
 * @param {readonly number[]} learned values of gamma
 * @returns {Amount}
 */
export function amountOf({ name, low, high }, choice, learned) {
  if (name === "temperature") return { value: choice.temperature, low, high, logarithmic: true, learned };
  if (name === "gamma") {
    const mean = learned.reduce((total, value) => total + value, 0) / Math.max(1, learned.length);
    const reach = Math.abs(mean) < REACH ? REACH : high;
    const value = Math.min(Math.max(choice.gamma ?? mean, -reach), reach);
    return { value, low: -reach, high: reach, logarithmic: false, learned };
  }
  return { value: choice.strength, low, high, logarithmic: false, learned };
}

/**
 * @param {Operation} operation
 * @param {number} amount
 * @returns {Partial<Choice>}
 */
export function amountChosen({ name }, amount) {
  if (name === "temperature") return { temperature: amount };
  return name === "gamma" ? { gamma: amount } : { strength: amount };
}

/**
 * Cells of 0, 1 and 2 as a short text: runs of equal ones in reading order, as `mask_editor.cells_to_link` writes them.
 * @param {Uint8Array} cells
 */
export function cellsToText(cells) {
  /** @type {[number, number][]} */
  const runs = [];
  for (const cell of cells) {
    const last = runs.at(-1);
    if (last?.[0] === cell) last[1]++;
    else runs.push([cell, 1]);
  }
  if (runs.at(-1)?.[0] === 0) runs.pop();
  return runs.map(([cell, count]) => `${cell}x${count}`).join(".");
}

/**
 * The cells of `cellsToText`; none painted when the text is of more cells.
 * @param {string} written
 * @param {number} count
 */
export function cellsFromText(written, count) {
  const cells = new Uint8Array(count);
  const runs = written ? written.split(".").map((run) => run.split("x").map(Number)) : [];
  if (runs.reduce((total, [, length]) => total + length, 0) > count) return cells;
  let at = 0;
  for (const [cell, length] of runs) cells.fill(cell, at, (at += length));
  return cells;
}
