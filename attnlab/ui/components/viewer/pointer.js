// @ts-check
// What the pointer does on a card.
import { placeOf } from "../lib/grid.js";

/** @import { Card } from "./card.js" */
/** @import { Viewer } from "./viewer.js" */

/**
 * @param {Viewer} viewer
 * @param {Card} card
 */
export function listenToPointer(viewer, card) {
  const { canvas } = card.stage;
  const hover = (/** @type {PointerEvent} */ event) => {
    viewer.hover = viewer.lastHover = placeOf(event, canvas);
    viewer.schedule();
  };
  listen(canvas, hover, () => {
    viewer.hover = null;
    viewer.schedule();
  });
  canvas.addEventListener("click", (event) => viewer.pin(placeOf(event, canvas), event.shiftKey));

  const strip = card.strip.canvas;
  const channelOf = (/** @type {MouseEvent} */ event) => {
    const box = strip.getBoundingClientRect();
    return card.strip.channelAt(event.clientX - box.left, event.clientY - box.top);
  };
  const point = (/** @type {PointerEvent} */ event) => {
    viewer.hoverChannel = channelOf(event);
    viewer.schedule();
  };
  listen(strip, point, () => {
    viewer.hoverChannel = null;
    viewer.schedule();
  });
  strip.addEventListener("click", (event) => {
    if (card.layer?.kind === "element") viewer.set({ channel: channelOf(event) }, true);
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {(event: PointerEvent) => void} move also called for a finger that goes down
 * @param {() => void} leave
 */
function listen(canvas, move, leave) {
  canvas.addEventListener("pointerdown", move);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerleave", leave);
}
