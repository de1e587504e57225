// @ts-check
// Where the teacher is, and whether a browser is there already.
import { withKept } from "../guide/address.js";

const OWN = ["room", "hide", "lock", "present"]; // of a browser alone; a view has none of them

/**
 * The parameters of a view, in an order of their own.
 * @param {string} search
 */
function parametersOf(search) {
  const parameters = new URLSearchParams(search);
  for (const name of OWN) parameters.delete(name);
  parameters.sort();
  return parameters.toString();
}

/**
 * Whether the address is that of a view.
 * @param {{ pathname: string, search: string }} here
 * @param {string} base the app's own path
 * @param {string} target the page of the view
 * @param {string} link its parameters
 */
export function isThere(here, base, target, link) {
  return here.pathname.replace(/\/+$/, "") === `${base}${target}`.replace(/\/+$/, "") && parametersOf(here.search) === parametersOf(link);
}

/**
 * The address of a view, for a tab that keeps what its own link hides and locks.
 * @param {string} search of the tab
 * @param {string} base
 * @param {string} target
 * @param {string} link
 */
export function addressOf(search, base, target, link) {
  const parameters = new URLSearchParams(link);
  for (const name of OWN) parameters.delete(name);
  return withKept(`${base}${target}?${parameters}`, search);
}
