// @ts-check
// What a person can change of the viewer, with its names in the address.
import { COLOUR_MAPS } from "../lib/colours.js";
import { flagField, numberField, placesField, readLink, usualState, wholeField, wordField, writeLink } from "../lib/link.js";

/** @import { Place } from "../lib/grid.js" */
/** @import { Fields } from "../lib/link.js" */

/** How a map is drawn over the picture. */
export const BLENDS = /** @type {const} */ (["heat", "reveal", "contour"]);

/** What the ends of the colour scale are, the first one always the same, the others read off the weights. */
export const SCOPES = /** @type {const} */ (["absolute", "map", "image", "layer"]);

/** What of a pairwise map is shown: the row of a query, the column of a key, the entropy of every row, or the row of the class token. */
export const PAIR_VIEWS = /** @type {const} */ (["row", "column", "entropy", "token"]);

/** What the threshold is a share of: the colour scale, or the cells. */
export const CUTS = /** @type {const} */ (["value", "percentile"]);

/** @typedef {typeof SCOPES[number]} Scope */

/**
 * @typedef {object} View
 * @property {number | null} layer null: the one that the page begins with
 * @property {boolean} all all layers beside each other
 * @property {number | null} step of the training; null: the last
 * @property {number} opacity
 * @property {number} threshold weights below it are hidden
 * @property {typeof CUTS[number]} cut
 * @property {number} gamma
 * @property {string} colours
 * @property {boolean} smooth colours between the centres of cells are interpolated
 * @property {typeof BLENDS[number]} blend
 * @property {Scope} scope
 * @property {typeof PAIR_VIEWS[number]} pair
 * @property {number} near keys less than this many cells from the query are ignored
 * @property {number | null} channel null: the mean of all
 * @property {boolean} sorted channels by weight
 * @property {boolean} stretch maps fill the whole picture, wherever their network looks
 * @property {boolean} mask the outline of the object is shown
 * @property {Place[]} pins
 */

/** @type {Fields<View>} */
export const VIEW_FIELDS = {
  layer: wholeField("ly", null, 0, 999),
  all: flagField("al", false),
  step: wholeField("st", null, 0, 1e12),
  opacity: numberField("op", 0.6, 0, 1),
  threshold: numberField("th", 0, 0, 1),
  cut: wordField("ct", CUTS),
  gamma: numberField("ga", 1, 0.2, 5),
  colours: wordField("cm", COLOUR_MAPS.map(([name]) => name)),
  smooth: flagField("sm", false),
  blend: wordField("bl", BLENDS),
  scope: wordField("sc", SCOPES),
  pair: wordField("pr", PAIR_VIEWS),
  near: wholeField("nx", 0, 0, 16),
  channel: wholeField("ch", null, 0, 99999),
  sorted: flagField("so", false),
  stretch: flagField("sr", false),
  mask: flagField("mk", true),
  pins: placesField("px", 3),
};

export function usualView() {
  return usualState(VIEW_FIELDS);
}

/** @param {string} search */
export function viewFromLink(search) {
  return readLink(VIEW_FIELDS, search);
}

/**
 * @param {string} href
 * @param {View} view
 */
export function linkWithView(href, view) {
  return writeLink(VIEW_FIELDS, href, view);
}
