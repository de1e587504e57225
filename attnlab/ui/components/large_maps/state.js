// @ts-check
// What a person can choose, as it stands in the page's address: rl the map, rq the position, rp the pins, rc attention
// received instead of paid, rh the head from 1.
import { MIDDLE } from "../lib/grid.js";
import { flagField, placesField, readLink, usualState, wholeField, writeLink } from "../lib/link.js";

/** @import { Place } from "../lib/grid.js" */
/** @import { Fields } from "../lib/link.js" */

/**
 * @typedef {object} State
 * @property {number} layer
 * @property {Place} cursor the position that is pointed at
 * @property {Place[]} pins
 * @property {boolean} column attention received (a column of the map) instead of paid (a row)
 * @property {number} head -1: the mean of all
 */

const places = placesField("rp", 4);
const head = wholeField("rh", -1, 0, 999);

/** @type {Fields<Omit<State, "cursor"> & { cursor: Place | null }>} the cursor is always written */
const FIELDS = {
  layer: wholeField("rl", 0, 0, 999),
  cursor: { name: "rq", usual: null, read: (text) => places.read(text)?.[0], write: (place) => places.write(place ? [place] : []) },
  pins: places,
  column: flagField("rc", false),
  head: { ...head, read: (text) => (head.read(text) ?? 0) - 1, write: (value) => head.write(value + 1) },
};

/**
 * @param {string} search
 * @param {number} most pins
 * @returns {State}
 */
export function stateFromLink(search, most) {
  const state = { ...usualState(FIELDS), ...readLink(FIELDS, search) };
  return { ...state, cursor: state.cursor ?? MIDDLE, pins: state.pins.slice(0, most) };
}

/**
 * @param {string} href
 * @param {State} state
 */
export function linkWithState(href, state) {
  return writeLink(FIELDS, href, state);
}
