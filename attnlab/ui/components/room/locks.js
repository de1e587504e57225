// @ts-check
// Parts of the page that a link locks: they stay in sight, but are `inert`, so neither pointer nor keyboard reaches them.
import { mounted } from "../lib/mount.js";

/** @import { Call } from "../lib/mount.js" */

/** @typedef {{ selectors: string[] }} LocksData */

const WATCH_MS = 250;
const WORDS = "Locked by the link with which this page was opened";

class Locks {
  constructor() {
    this.selector = "";
    this.timer = window.setInterval(() => this.lock(), WATCH_MS);
  }

  destroy() {
    window.clearInterval(this.timer);
    this.release();
  }

  /** @param {LocksData} data */
  load({ selectors }) {
    const selector = selectors.join(", ");
    if (selector !== this.selector) this.release();
    this.selector = selector;
    this.lock();
  }

  lock() {
    if (!this.selector) return;
    for (const node of document.querySelectorAll(this.selector)) {
      if (!(node instanceof HTMLElement) || node.inert) continue;
      node.inert = true;
      node.dataset.locked = "here";
      node.setAttribute("aria-disabled", "true");
      node.title = WORDS;
      node.style.opacity = "0.55";
    }
  }

  release() {
    for (const node of document.querySelectorAll("[data-locked]")) {
      if (!(node instanceof HTMLElement)) continue;
      node.inert = false;
      delete node.dataset.locked;
      node.removeAttribute("aria-disabled");
      node.removeAttribute("title");
      node.style.opacity = "";
    }
  }
}

export default mounted(
  () => new Locks(),
  (locks, /** @type {Call<LocksData>} */ { data }) => locks.load(data),
  (locks) => locks.destroy(),
);
