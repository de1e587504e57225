// @ts-check
// Sends the browser where the teacher is: once for each view of the room, which the tab remembers over its own reloads.
import { mounted } from "../lib/mount.js";
import { baseOf } from "../guide/address.js";
import { addressOf, isThere } from "./view.js";

/** @import { Call } from "../lib/mount.js" */

const WENT = "attnlab.room.view";

/** @typedef {{ room: string, serial: number, page: string, target: string, link: string }} FollowData see `follow` in __init__.py */

/** @param {FollowData} data */
function go({ room, serial, page, target, link }) {
  if (!serial) {
    sessionStorage.removeItem(WENT);
    return;
  }
  const view = `${room}.${serial}`;
  if (sessionStorage.getItem(WENT) === view) return;
  sessionStorage.setItem(WENT, view);
  const base = baseOf(window.location.pathname, page);
  if (isThere(window.location, base, target, link)) return;
  window.location.assign(addressOf(window.location.search, base, target, link));
}

export default mounted(
  () => null,
  (_view, /** @type {Call<FollowData>} */ { data }) => go(data),
);
