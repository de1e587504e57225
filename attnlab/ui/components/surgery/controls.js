// @ts-check
// The controls of surgery in the browser: the operation, the map, the amount, and the picture.
import { button, element, fillMenu, labelled, menu, range, setPressed, setText } from "../lib/dom.js";
import { amountChosen } from "./choices.js";

/** @import { Amount, Choice, Operation } from "./choices.js" */

const STEPS = 1000; // of the slider

/** @typedef {"page" | "file" | "camera"} Source of the picture */
/**
 * @typedef {object} Actions what the controls ask for
 * @property {(change: Partial<Choice>) => void} change
 * @property {() => void} page shows the picture of the page again
 * @property {(file: File) => void} file
 * @property {() => void} camera on or off
 */
/**
 * @typedef {object} Shown
 * @property {readonly Operation[]} operations
 * @property {Operation} operation
 * @property {[value: string, title: string][]} places
 * @property {string} place
 * @property {Amount} amount
 * @property {number} seed
 * @property {Source} source
 */

export class Controls {
  /**
   * @param {HTMLElement} root which gets them
   * @param {Actions} actions
   */
  constructor(root, actions) {
    this.actions = actions;
    /** @type {Shown | null} */
    this.shown = null;
    this.operations = element("div", "operations");
    this.operations.setAttribute("role", "group");
    this.operations.setAttribute("aria-label", "Operation");
    this.meaning = element("p", "meaning");
    this.where = menu([], (value) => actions.change({ where: value, gamma: null }), { label: "Where" });
    const where = labelled("Where", this.where);
    where.className = "where";
    this.amount = range({ min: 0, max: STEPS, step: 1 });
    this.amount.addEventListener("input", () => this.slide());
    this.amountName = element("span");
    this.amountValue = element("output");
    const amount = element("label", "amount");
    amount.append(this.amountName, this.amount, this.amountValue);
    this.seed = Object.assign(element("input"), { type: "number", min: "0", max: "999", step: "1" });
    this.seed.addEventListener("input", () => actions.change({ seed: seedOf(this.seed.value) }));
    this.seedLabel = labelled("Random seed", this.seed);
    const settings = element("div", "settings");
    settings.append(where, amount, this.seedLabel);

    this.file = Object.assign(element("input"), { type: "file", accept: "image/*", hidden: true });
    this.file.addEventListener("change", () => this.give());
    this.ofPage = button("the picture above", () => actions.page());
    this.ofFile = button("one of your own", () => this.file.click());
    this.ofCamera = button("camera", () => actions.camera());
    const sources = element("div", "sources");
    sources.setAttribute("role", "group");
    sources.setAttribute("aria-label", "Picture");
    sources.append(element("span", "", "Picture"), this.ofPage, this.ofFile, this.ofCamera, this.file);
    this.said = element("p", "said");
    this.said.setAttribute("role", "status");
    root.append(this.operations, this.meaning, settings, sources, this.said);
  }

  /** @param {string} text what is to be known of the picture or the network */
  say(text) {
    setText(this.said, text);
    this.said.hidden = !text;
  }

  give() {
    const [file] = this.file.files ?? [];
    if (file) this.actions.file(file);
    this.file.value = ""; // the same file can be chosen again
  }

  /** The slider was moved; of temperature it moves the logarithm. */
  slide() {
    if (!this.shown) return;
    const { low, high, logarithmic } = this.shown.amount;
    const share = Number(this.amount.value) / STEPS;
    const value = logarithmic ? low * (high / low) ** share : low + (high - low) * share;
    this.actions.change(amountChosen(this.shown.operation, Number(value.toFixed(3))));
  }

  /** @param {Shown} shown */
  show(shown) {
    const { operations, operation, places, place, amount, seed, source } = shown;
    this.shown = shown;
    if (this.operations.children.length !== operations.length) {
      const buttons = operations.map(({ title }) => button(title, () => this.actions.change({ operation: title, gamma: null })));
      this.operations.replaceChildren(...buttons);
    }
    [...this.operations.children].forEach((each, at) => each instanceof HTMLElement && setPressed(each, operations[at] === operation));
    setText(this.meaning, operation.meaning);
    const key = places.map(([value]) => value).join();
    if (this.where.dataset.key !== key) {
      fillMenu(this.where, places);
      this.where.dataset.key = key;
    }
    this.where.value = place;
    this.where.disabled = operation.whole;
    this.where.title = operation.whole ? "Acts on all maps. For a single block, choose Off and the map to switch off." : "";
    this.showAmount(operation, amount);
    this.seedLabel.hidden = operation.name !== "shuffle";
    if (seedOf(this.seed.value) !== seed) this.seed.value = String(seed);
    setPressed(this.ofPage, source === "page");
    setPressed(this.ofFile, source === "file");
    setPressed(this.ofCamera, source === "camera");
  }

  /**
   * @param {Operation} operation
   * @param {Amount} amount
   */
  showAmount({ name, label }, { value, low, high, logarithmic, learned }) {
    setText(this.amountName, label);
    setText(this.amountValue, value.toFixed(name === "gamma" ? 3 : 2));
    const share = logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    const place = String(Math.round(STEPS * share));
    if (this.amount.value !== place) this.amount.value = place;
    this.amount.setAttribute("aria-valuetext", this.amountValue.textContent ?? "");
    this.amount.title =
      name === "gamma"
        ? `Learned in training: ${learned.map((each) => each.toFixed(3)).join(", ")}.`
        : name === "temperature"
          ? "1 leaves the map as it is."
          : "0 leaves the map as it is, 1 applies the whole change.";
  }
}

/** A seed of the operation Shuffled. @param {string} text */
function seedOf(text) {
  return Math.min(Math.max(Math.round(Number(text)) || 0, 0), 999);
}
