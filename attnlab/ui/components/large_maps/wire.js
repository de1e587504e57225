// @ts-check
// The wire between the picture (large_maps.js) and the server, alone in a fragment: a question reruns nothing else, and
// nothing but the one answer travels back.
import { mounted } from "../lib/mount.js";

/** @import { Call } from "../lib/mount.js" */
/** @import { Answer, Question } from "./answer.js" */

/** @typedef {{ id: string, answer?: Answer }} WireData id: of the picture and maps that are asked about */
/** @typedef {CustomEvent<{ id: string, question: Question, heard: boolean }>} QuestionEvent */

class Wire {
  constructor() {
    this.id = "";
    /** @type {(question: Question) => void} */
    this.ask = () => {};
    this.abort = new AbortController();
    const hear = (/** @type {Event} */ event) => {
      const { detail } = /** @type {QuestionEvent} */ (event);
      if (detail.id !== this.id) return;
      detail.heard = true;
      this.ask(detail.question);
    };
    document.addEventListener("attnlab:large-map-question", hear, { signal: this.abort.signal });
  }

  destroy() {
    this.abort.abort();
  }
}

export default mounted(
  () => new Wire(),
  (wire, /** @type {Call<WireData>} */ { data, setStateValue }) => {
    wire.id = data.id;
    wire.ask = (question) => setStateValue("asked", { id: data.id, ...question });
    document.dispatchEvent(new CustomEvent("attnlab:large-map-answer", { detail: data }));
  },
  (wire) => wire.destroy(),
);
