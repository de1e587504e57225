// @ts-check
// What a lesson reads off the page's address.

/** @typedef {Record<string, string[]>} Needs parameter of the address -> values of which it must have one; "changed" is any other */

const CHANGED = "changed";

/**
 * Whether all that is to be done is done.
 * @param {Needs} needs
 * @param {Record<string, string>} opened the parameters with which the view was opened
 * @param {string} search
 * @param {boolean} [orGone] a parameter that the view was opened with and that is gone has changed, too: to the usual value, which
 *   no address holds; while a page is drawn it may be gone for a moment only
 */
export function isDone(needs, opened, search, orGone = false) {
  const parameters = new URLSearchParams(search);
  return Object.entries(needs).every(([name, values]) => {
    const [now, before] = [parameters.get(name), opened[name] ?? null];
    return values.some((value) => (value === CHANGED ? now !== before && (now !== null || orGone) : now === value));
  });
}

const KEPT = ["hide", "lock"]; // what the link of a tab hides and locks, on every page

/**
 * An address of the app with what this tab's own link hides and locks.
 * @param {string} address below the app's own
 * @param {string} search of this tab
 */
export function withKept(address, search) {
  const [page, query = ""] = address.split("?");
  const parameters = new URLSearchParams(query);
  const own = new URLSearchParams(search);
  for (const name of KEPT) {
    const value = own.get(name);
    if (value !== null) parameters.set(name, value);
  }
  const text = parameters.toString();
  return text ? `${page}?${text}` : page;
}

/**
 * The address of the app, with a slash at the end, of a page of it.
 * @param {string} pathname
 * @param {string} page the part that is the page's own
 */
export function baseOf(pathname, page) {
  const bare = pathname.replace(/\/+$/, "");
  const base = page && bare.endsWith(`/${page}`) ? bare.slice(0, -page.length - 1) : bare;
  return `${base}/`;
}
