// @ts-check
// The keyboard of the whole page, for a room on the projector.
import { mounted } from "../lib/mount.js";

/** @import { Call } from "../lib/mount.js" */

/** @typedef {{ actions: Record<string, string> }} KeysData key -> action */

const TYPING = "input, textarea, select, [contenteditable=true]";

class Keys {
  constructor() {
    /** @type {Record<string, string>} */
    this.actions = {};
    /** @type {(action: string) => void} */
    this.send = () => {};
    this.listen = (/** @type {KeyboardEvent} */ event) => this.onKey(event);
    document.addEventListener("keydown", this.listen, true); // before Streamlit, for which r draws the page again
  }

  destroy() {
    document.removeEventListener("keydown", this.listen, true);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const action = this.actions[event.key] ?? this.actions[event.key.toLowerCase()];
    const target = event.composedPath()[0];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof Element && target.matches(TYPING)) return;
    if (event.key === " " && target instanceof Element && target.closest("button, a")) return; // presses what has the focus
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) this.send(action);
  }
}

export default mounted(
  () => new Keys(),
  (keys, /** @type {Call<KeysData>} */ { data, setTriggerValue }) => {
    keys.actions = data.actions;
    keys.send = (action) => setTriggerValue("action", action);
  },
  (keys) => keys.destroy(),
);
