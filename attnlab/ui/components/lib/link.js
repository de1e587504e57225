// @ts-check
// State in the page's address, so that a link brings a view back. What is unknown, out of form or left out is as usual.

/** @import { Place } from "./grid.js" */

/**
 * @template Value
 * @typedef {object} Field one value of a state
 * @property {string} name in the address
 * @property {Value} usual this value is left out of the address
 * @property {(text: string) => Value | undefined} read undefined for text that means nothing
 * @property {(value: Value) => string} write
 */

/**
 * @template State
 * @typedef {{ [Name in keyof State]: Field<State[Name]> }} Fields
 */

/**
 * The state in which nothing is in the address.
 * @template {object} State
 * @param {Fields<State>} fields
 * @returns {State}
 */
export function usualState(fields) {
  const entries = Object.entries(fields).map(([name, field]) => [name, structuredClone(field.usual)]);
  return Object.fromEntries(entries);
}

/**
 * What an address holds of a state.
 * @template {object} State
 * @param {Fields<State>} fields
 * @param {string} search
 * @returns {Partial<State>}
 */
export function readLink(fields, search) {
  const parameters = new URLSearchParams(search);
  /** @type {Partial<State>} */
  const state = {};
  for (const name in fields) {
    const text = parameters.get(fields[name].name);
    const value = text === null ? undefined : fields[name].read(text);
    if (value !== undefined) state[name] = value;
  }
  return state;
}

/**
 * An address with the state in it; its other parameters stay.
 * @template {object} State
 * @param {Fields<State>} fields
 * @param {string} href
 * @param {State} state
 */
export function writeLink(fields, href, state) {
  const url = new URL(href);
  for (const key in fields) {
    const { name, usual, write } = fields[key];
    if (JSON.stringify(state[key]) === JSON.stringify(usual)) url.searchParams.delete(name);
    else url.searchParams.set(name, write(state[key]));
  }
  return url.href;
}

// ---- kinds of fields -------------------------------------------------------------------------------------------------

/**
 * A number, kept between two ends.
 * @param {string} name
 * @param {number} usual
 * @param {number} low
 * @param {number} high
 * @returns {Field<number>}
 */
export function numberField(name, usual, low, high) {
  const read = (/** @type {string} */ text) => {
    const value = Number(text);
    return text !== "" && Number.isFinite(value) ? Math.min(Math.max(value, low), high) : undefined;
  };
  return { name, usual, read, write: (value) => String(Number(value.toFixed(3))) };
}

/**
 * A whole number, kept between two ends, or nothing.
 * @template {number | null} Usual
 * @param {string} name
 * @param {Usual} usual
 * @param {number} low
 * @param {number} high
 * @returns {Field<number | Usual>}
 */
export function wholeField(name, usual, low, high) {
  const read = (/** @type {string} */ text) => (/^-?\d+$/.test(text) ? Math.min(Math.max(Number(text), low), high) : undefined);
  return { name, usual, read, write: String };
}

/**
 * One of several words.
 * @template {string} Word
 * @param {string} name
 * @param {readonly Word[]} words the usual one first
 * @returns {Field<Word>}
 */
export function wordField(name, words) {
  return { name, usual: words[0], read: (text) => words.find((word) => word === text), write: (value) => value };
}

/**
 * @param {string} name
 * @param {boolean} usual
 * @returns {Field<boolean>}
 */
export function flagField(name, usual) {
  const read = (/** @type {string} */ text) => (text === "1" ? true : text === "0" ? false : undefined);
  return { name, usual, read, write: (value) => (value ? "1" : "0") };
}

const PLACES = /^[01](\.\d+)?_[01](\.\d+)?(~[01](\.\d+)?_[01](\.\d+)?)*$/;

/**
 * Places on a picture, none as usual.
 * @param {string} name
 * @param {number} digits
 * @returns {Field<Place[]>}
 */
export function placesField(name, digits) {
  const read = (/** @type {string} */ text) => {
    if (!PLACES.test(text)) return undefined;
    const places = text.split("~").map((pair) => pair.split("_").map(Number));
    return places.every(([u, v]) => u <= 1 && v <= 1) ? places.map(([u, v]) => ({ u, v })) : undefined;
  };
  const write = (/** @type {Place[]} */ places) => places.map(({ u, v }) => `${u.toFixed(digits)}_${v.toFixed(digits)}`).join("~");
  return { name, usual: [], read, write };
}
