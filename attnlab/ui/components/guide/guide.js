// @ts-check
// The lower part of a lesson's panel: what is to be done, back, next and leave. It watches the page's address to see when a
// thing is done, since all that a person sets stands there, and outlines the control that the step speaks of.
import { button, element, find, setText } from "../lib/dom.js";
import { mounted } from "../lib/mount.js";
import { baseOf, isDone, withKept } from "./address.js";
import { findControl, Outline } from "./outline.js";

/** @import { Call } from "../lib/mount.js" */
/** @import { Needs } from "./address.js" */

const WATCH_MS = 250;
const [SEEN, GONE] = [2, 8]; // so many times in a row something has to be seen: an address changes several times while a page opens
/** @type {Set<string>} keys of the steps that are done; they stay so when the panel is drawn anew */
const finished = new Set();

/**
 * @typedef {object} Target a step before or after this one
 * @property {number} step from 1; 0 leads out of the lesson
 * @property {string | null} address of the view that it opens, below the app's own; null where the view stays
 */
/**
 * @typedef {object} GuideData
 * @property {string} page the address of the page that is shown, below the app's own
 * @property {string} key of the lesson and step
 * @property {string} task what is to be done; empty where there is nothing
 * @property {Needs} needs
 * @property {Record<string, string>} opened the parameters with which the view was opened
 * @property {boolean} answered whether question and prediction of the step are
 * @property {string} waiting what is still to be answered, in words; empty where nothing is
 * @property {string} away the address of the step's view, where another page is shown; empty where it is this one
 * @property {string[]} selectors of the control
 * @property {string} control its name in words
 * @property {Target | null} back
 * @property {Target} next
 */

class Guide {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {GuideData | null} */
    this.data = null;
    this.key = "";
    this.held = [0, 0]; // so many times in a row all was done: to be seen in the address, or gone from it
    /** @type {(step: number) => void} */
    this.go = () => {};
    /** @type {() => void} */
    this.leave = () => {};
    this.outline = new Outline();
    this.task = element("p", "task");
    this.task.setAttribute("aria-live", "polite");
    this.back = button("Back", () => this.move(this.data?.back ?? null), { className: "back" });
    this.next = button("Next", () => this.move(this.data?.next ?? null), { className: "next" });
    this.anyway = button("Skip", () => this.move(this.data?.next ?? null), {
      className: "quiet anyway",
      title: "Go on without doing this",
    });
    this.show = button("Show me", () => this.outline.reveal(), { className: "quiet show" });
    this.away = button("Open the view of this step", () => this.visit(this.data?.away ?? ""), { className: "away" });
    const out = button("Leave", () => this.leave(), { className: "quiet leave", title: "Leave the lesson; the page stays" });
    const moves = element("div", "moves");
    moves.append(this.back, this.next, this.anyway, this.show, out);
    root.append(this.task, this.away, moves);
    this.timer = window.setInterval(() => this.watch(), WATCH_MS);
  }

  destroy() {
    window.clearInterval(this.timer);
    this.outline.remove();
    this.root.replaceChildren();
  }

  /** @param {GuideData} data */
  load(data) {
    if (this.key !== data.key) {
      this.key = data.key;
      this.held = [0, 0];
      this.outline.remove();
    }
    this.data = data;
    this.back.hidden = data.back === null;
    this.away.hidden = !data.away;
    this.show.hidden = !data.control || !!data.away;
    this.show.title = data.control ? `Scroll to ${data.control}` : "";
    setText(this.next, data.next.step ? "Next" : "Finish");
    this.watch();
  }

  watch() {
    const { data } = this;
    if (!data) return;
    this.held = this.held.map((times, orGone) => {
      const holds = !data.away && isDone(data.needs, data.opened, window.location.search, orGone === 1);
      return holds ? times + 1 : 0;
    });
    const [seen, gone] = this.held;
    if (seen >= SEEN || gone >= GONE || !Object.keys(data.needs).length) finished.add(data.key);
    const done = finished.has(data.key);
    const free = done && data.answered;
    this.next.disabled = !free;
    this.anyway.hidden = free;
    const words = [done ? "" : data.task, data.waiting].filter(Boolean).join(" ");
    this.task.hidden = !words && !data.task;
    this.task.classList.toggle("done", !words);
    setText(this.task, words || "✓ Done.");
    this.outline.mark(data.away ? null : findControl(data.selectors));
  }

  /** @param {Target | null} target */
  move(target) {
    if (!target) return;
    if (target.address === null) this.go(target.step);
    else this.visit(target.address);
  }

  /** @param {string} address */
  visit(address) {
    const { pathname, search } = window.location;
    window.location.assign(baseOf(pathname, this.data?.page ?? "") + withKept(address, search));
  }
}

export default mounted(
  (root) => new Guide(find(root, ".guide", HTMLElement)),
  (guide, /** @type {Call<GuideData>} */ { data, setTriggerValue }) => {
    guide.go = (step) => setTriggerValue("go", step);
    guide.leave = () => setTriggerValue("leave", true);
    guide.load(data);
  },
  (guide) => guide.destroy(),
);
