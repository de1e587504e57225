// @ts-check
// A picture on which a person points at one place, by a click or with the arrow keys and Enter; and pictures with places marked.
import { contextOf, rgbCanvas } from "../lib/canvas.js";
import { element, find, setText } from "../lib/dom.js";
import { ARROWS, clamp } from "../lib/grid.js";
import { bytesOf, mounted } from "../lib/mount.js";

/** @import { Place } from "../lib/grid.js" */
/** @import { Call, Column } from "../lib/mount.js" */

/** @typedef {{ id: string, width: number, height: number, open: boolean, marks: [number, number][], label: string, caption: string, bytes: Column }} PointingData */

const SIDE = 352; // pixels that are drawn, for marks that are finer than the picture's own
const STEP = 1 / 32;

class Pointing {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.canvas = element("canvas");
    this.canvas.setAttribute("role", "img");
    this.caption = element("figcaption");
    root.append(this.canvas, this.caption);
    this.id = "";
    this.open = false;
    /** @type {HTMLCanvasElement | null} */
    this.picture = null;
    /** @type {[number, number][]} */
    this.marks = [];
    /** @type {Place | null} where the arrow keys are */
    this.cursor = null;
    /** @type {(u: number, v: number) => void} */
    this.send = () => {};
    this.canvas.addEventListener("click", (event) => this.onClick(event));
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  destroy() {
    this.root.replaceChildren();
  }

  /** @param {PointingData} data */
  load(data) {
    if (this.id !== data.id) {
      this.id = data.id;
      this.picture = rgbCanvas(bytesOf(data.bytes), data.height, data.width);
      Object.assign(this.canvas, { width: SIDE, height: Math.round((SIDE * data.height) / data.width) });
      this.cursor = null;
    }
    this.open = data.open;
    this.marks = data.marks;
    this.canvas.classList.toggle("open", data.open);
    this.canvas.tabIndex = data.open ? 0 : -1;
    this.canvas.setAttribute("aria-label", data.label);
    this.canvas.setAttribute("role", data.open ? "application" : "img");
    setText(this.caption, data.caption);
    this.draw();
  }

  draw() {
    const { canvas, picture } = this;
    if (!picture) return;
    const context = contextOf(canvas);
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const places = this.cursor ? [...this.marks, /** @type {[number, number]} */ ([this.cursor.u, this.cursor.v])] : this.marks;
    for (const [u, v] of places) this.ring(context, u * canvas.width, v * canvas.height);
  }

  /**
   * A ring that shows on dark and on light ground.
   * @param {CanvasRenderingContext2D} context
   * @param {number} x
   * @param {number} y
   */
  ring(context, x, y) {
    for (const [colour, width] of /** @type {[string, number][]} */ ([["#000", 5], ["#fff", 2.5]])) {
      context.beginPath();
      context.arc(x, y, 9, 0, 2 * Math.PI);
      Object.assign(context, { strokeStyle: colour, lineWidth: width });
      context.stroke();
    }
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    if (!this.open) return;
    const box = this.canvas.getBoundingClientRect();
    this.choose((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (!this.open) return;
    const by = ARROWS[event.key];
    if (by) {
      const { u, v } = this.cursor ?? { u: 0.5, v: 0.5 };
      this.cursor = { u: clamp(u + by[1] * STEP, 0, 1), v: clamp(v + by[0] * STEP, 0, 1) };
      this.draw();
    } else if ((event.key === "Enter" || event.key === " ") && this.cursor) {
      this.choose(this.cursor.u, this.cursor.v);
    } else return;
    event.preventDefault();
  }

  /**
   * @param {number} u
   * @param {number} v
   */
  choose(u, v) {
    this.cursor = null;
    this.open = false;
    this.canvas.classList.remove("open");
    this.marks = [[clamp(u, 0, 1), clamp(v, 0, 1)]];
    this.draw();
    this.send(clamp(u, 0, 1), clamp(v, 0, 1));
  }
}

export default mounted(
  (root) => new Pointing(find(root, ".pointing", HTMLElement)),
  (pointing, /** @type {Call<PointingData>} */ { data, setStateValue }) => {
    pointing.send = (u, v) => setStateValue("place", [u, v]);
    pointing.load(data);
  },
  (pointing) => pointing.destroy(),
);
