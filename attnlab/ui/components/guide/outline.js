// @ts-check
// The control that a lesson speaks of: how it is found, also inside other components, and the quiet line around it.

/**
 * The first element that one of the selectors finds and that is drawn, in the page or inside its components.
 * @param {string[]} selectors
 * @returns {HTMLElement | null}
 */
export function findControl(selectors) {
  if (!selectors.length) return null;
  const roots = [document, ...[...document.querySelectorAll("*")].flatMap((host) => host.shadowRoot ?? [])];
  for (const selector of selectors) {
    for (const root of roots) {
      for (const node of root.querySelectorAll(selector)) {
        if (node instanceof HTMLElement && node.getClientRects().length) return node;
      }
    }
  }
  return null;
}

const LINE = { outline: "2px solid var(--st-primary-color, #1f7a8c)", outlineOffset: "4px", borderRadius: "6px" };

export class Outline {
  constructor() {
    /** @type {HTMLElement | null} */
    this.node = null;
    this.before = "";
  }

  /** @param {HTMLElement | null} node */
  mark(node) {
    if (node === this.node) return;
    this.remove();
    if (!node) return;
    this.node = node;
    this.before = node.style.cssText;
    Object.assign(node.style, LINE);
    node.dataset.lesson = "here";
  }

  remove() {
    if (!this.node) return;
    this.node.style.cssText = this.before;
    delete this.node.dataset.lesson;
    this.node = null;
  }

  reveal() {
    const still = window.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
    this.node?.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  }
}
