// @ts-check
// A strip of small images of which one is chosen, or several: with Shift, or with the button for those who have none.
// The choice is sent when it is made; arrows move it.
import { rgbCanvas } from "../lib/canvas.js";
import { button, element, find, setAria } from "../lib/dom.js";
import { ARROWS } from "../lib/grid.js";
import { bytesOf, mounted } from "../lib/mount.js";
import { selectionAfter } from "./selection.js";

/** @import { Call, Column } from "../lib/mount.js" */

/** @typedef {{ index: number, words: string, title: string, right: boolean | null }} Item see Thumbnail on the Python side */
/** @typedef {{ id: string, items: Item[], side: number, chosen: number[], most: number, bytes: Column }} PickerData */

class Picker {
  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} several
   */
  constructor(root, several) {
    this.root = root;
    this.several = several;
    this.id = "";
    this.most = 1;
    /** @type {number[]} */
    this.chosen = [];
    /** @type {{ index: number, node: HTMLButtonElement }[]} */
    this.buttons = [];
    /** @type {(chosen: number[]) => void} */
    this.send = () => {};
    several.addEventListener("click", () => {
      const on = !this.isAdding();
      setAria(several, "pressed", on);
      if (!on && this.chosen.length > 1) this.choose([this.chosen[0]]);
    });
    root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {PickerData} data */
  load(data) {
    this.most = data.most;
    this.several.hidden = data.most === 1;
    if (data.most === 1) setAria(this.several, "pressed", false);
    if (data.chosen.length > 1) setAria(this.several, "pressed", true);
    setAria(this.root, "multiselectable", data.most > 1);
    if (this.id !== data.id) this.build(data);
    this.mark(data.chosen);
  }

  /** @param {PickerData} data */
  build({ id, items, side, bytes }) {
    this.id = id;
    const pixels = bytesOf(bytes);
    const size = side * side * 3;
    this.buttons = items.map(({ index, words, title, right }, place) => {
      const click = (/** @type {MouseEvent} */ event) =>
        this.choose(selectionAfter(this.chosen, index, event.shiftKey || this.isAdding(), this.most));
      const node = button("", click, { title });
      node.setAttribute("role", "option");
      const verdict = right === null ? "" : right ? "right" : "wrong";
      node.append(rgbCanvas(pixels.subarray(place * size, (place + 1) * size), side, side), element("span", verdict, words));
      return { index, node };
    });
    this.root.replaceChildren(...this.buttons.map(({ node }) => node));
  }

  isAdding() {
    return this.several.getAttribute("aria-pressed") === "true";
  }

  /** @param {number[]} chosen */
  choose(chosen) {
    this.mark(chosen);
    this.send(chosen);
  }

  /** @param {number[]} chosen */
  mark(chosen) {
    this.chosen = chosen;
    const { root } = this;
    for (const { index, node } of this.buttons) {
      setAria(node, "selected", chosen.includes(index));
      const first = index === chosen[0];
      node.tabIndex = first ? 0 : -1;
      const hidden = node.offsetLeft < root.scrollLeft || node.offsetLeft + node.offsetWidth > root.scrollLeft + root.clientWidth;
      if (first && hidden) root.scrollLeft = node.offsetLeft - root.clientWidth / 2;
    }
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const by = ARROWS[event.key]?.[1];
    const from = this.buttons.findIndex(({ node }) => event.composedPath().includes(node));
    const next = by && from >= 0 ? this.buttons[from + by] : undefined;
    if (!next) return;
    event.preventDefault();
    next.node.focus();
    if (this.most === 1 || this.chosen.length === 1) next.node.click();
  }
}

export default mounted(
  (root) => new Picker(find(root, ".picker", HTMLElement), find(root, ".several", HTMLElement)),
  (picker, /** @type {Call<PickerData>} */ { data, setStateValue }) => {
    picker.send = (chosen) => setStateValue("picked", chosen);
    picker.load(data);
  },
);
