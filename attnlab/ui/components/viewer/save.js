// @ts-check
// What is shown, as a file: a PNG of all cards with colour bars and words, at a chosen width; a GIF of the time-lapse.
// Both are made here, so they are what is seen, and need no server.
import { contextOf, newCanvas } from "../lib/canvas.js";
import { colourTable } from "../lib/colours.js";
import { cellAt, cellWords } from "../lib/grid.js";
import { percent } from "../lib/numbers.js";
import { branchFacts, isStacked } from "./branches.js";
import { stripPlan } from "./channel_strip.js";
import { BAR_HEIGHT } from "./colour_bar.js";
import { frameOf, scaleWords } from "./field.js";
import { countColours, emptyCounts, encodeGif } from "./gif.js";
import { FRAME_MS, REST_MS } from "./time_lapse.js";

/** @import { Card } from "./card.js" */
/** @import { Viewer } from "./viewer.js" */

export const PICTURE_WIDTHS = [512, 1024, 2048];
const GIF_WIDTH = 512;
const GIF_FRAMES = 60; // more steps are thinned out: the file stays a few MB
const CARD_LEAST = 240; // a card is laid out this wide at least, so that its words stay legible
const CARD_MOST = 420;
const SPACE = 16;

/** @typedef {{ tall: number, draw: (context: CanvasRenderingContext2D) => void }} Part of a card, drawn at its own origin */

/**
 * Text in lines no wider than `wide`.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} wide
 */
function wrapped(context, text, wide) {
  const lines = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (line && context.measureText(longer).width > wide) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

/**
 * What names the map in a caption: run, map, step, position, scale, prediction.
 * @param {Card} card
 */
function captionLines(card) {
  const { layer, panel, viewer, field } = card;
  const { pair, channel } = viewer.state;
  const lines = [card.fixedLayer ? panel.title : "", panel.run && panel.run !== panel.title ? `run ${panel.run}` : "", panel.subtitle];
  if (layer) lines.push(`map ${layer.title}${layer.title === layer.name ? "" : ` (${layer.name})`}`);
  if (panel.steps.length) lines.push(`training step ${panel.steps[card.moment].toLocaleString("en")}`);
  if (field?.token) lines.push("attention paid by the class token");
  else if (layer?.kind === "pairwise" && pair !== "entropy") {
    const grid = pair === "column" ? layer.grid : layer.queries;
    const places = viewer.focus().map((at) => cellWords(cellAt(grid, at, frameOf(layer, viewer.state)))).join("; ");
    lines.push(`${pair === "column" ? "attention received by" : "attention paid by"} ${places || "all positions, on average"}`);
  }
  if (field && layer?.kind === "element") lines.push(channel === null ? "mean over channels" : `channel ${card.strip.marked()}`);
  if (layer?.kind === "branch") lines.push(...branchFacts(layer, card.shownMoment).map(({ words }) => words));
  if (layer && !isStacked(layer)) lines.push(scaleWords(viewer.state, layer, field, card.ends, card.values));
  if (panel.probabilities.length) {
    const truth = panel.truth === null ? "" : `, true class ${panel.classes[panel.truth]}`;
    lines.push(`predicted ${card.prediction.words()}${truth}`);
  }
  return lines.filter(Boolean);
}

/**
 * The parts of a card from top to bottom.
 * @param {Card} card
 * @param {CanvasRenderingContext2D} measure
 * @param {number} wide
 * @param {number} ratio device pixels to a logical one
 */
function cardParts(card, measure, wide, ratio) {
  const { viewer, panel } = card;
  const { theme } = viewer;
  /** @type {Part[]} */
  const parts = [];
  const words = (/** @type {string} */ text, /** @type {string} */ font, /** @type {number} */ tall, /** @type {number} */ alpha) => {
    measure.font = font;
    for (const line of wrapped(measure, text, wide)) {
      const draw = (/** @type {CanvasRenderingContext2D} */ context) => {
        context.font = font;
        context.fillStyle = theme.text;
        context.globalAlpha = alpha;
        context.fillText(line, 0, tall - 5);
        context.globalAlpha = 1;
      };
      parts.push({ tall, draw });
    }
  };
  card.prepare();
  words(card.title, `600 15px ${theme.font}`, 21, 1);
  const high = (wide * panel.height) / panel.width;
  const image = card.stage.scaledTo(newCanvas(0, 0), Math.round(wide * ratio), Math.round(high * ratio));
  parts.push({ tall: high, draw: (context) => card.stage.paint(context, wide, high, image) });
  if (card.layer) {
    parts.push({ tall: 6, draw: () => {} });
    if (card.gates) {
      const { height } = stripPlan(card.gates.length, wide);
      parts.push({ tall: height, draw: (context) => card.strip.paint(context, wide, ratio) });
    }
    if (!isStacked(card.layer)) parts.push({ tall: BAR_HEIGHT + 4, draw: (context) => card.colourBar.paint(context, wide) });
  }
  for (const line of captionLines(card)) words(line, `12px ${theme.font}`, 17, 0.85);
  return parts;
}

/**
 * Where everything lies on a picture `width` pixels wide.
 * @param {Viewer} viewer
 * @param {CanvasRenderingContext2D} measure
 * @param {number} width
 */
function pictureLayout(viewer, measure, width) {
  const columns = Math.max(1, Math.min(viewer.columns || 1, viewer.cards.length, Math.floor(width / CARD_LEAST)));
  const card = Math.min(CARD_MOST, Math.max(CARD_LEAST, (width - SPACE * (columns + 1)) / columns));
  const ratio = width / (columns * card + SPACE * (columns + 1));
  const cards = viewer.cards.map((each) => cardParts(each, measure, card, ratio));
  const rows = [];
  for (let at = 0; at < cards.length; at += columns) rows.push(cards.slice(at, at + columns));
  const talls = rows.map((row) => Math.max(...row.map((parts) => parts.reduce((total, { tall }) => total + tall, 0))));
  const high = talls.reduce((total, tall) => total + tall + SPACE, SPACE) + 17;
  return { card, ratio, rows, talls, height: Math.round(high * ratio) };
}

/**
 * All cards on one canvas `width` pixels wide, and at least so high.
 * @param {Viewer} viewer
 * @param {number} width
 * @param {number} [least]
 */
function pictureOf(viewer, width, least = 0) {
  const canvas = newCanvas(0, 0);
  const context = contextOf(canvas, { willReadFrequently: true });
  const { card, ratio, rows, talls, height } = pictureLayout(viewer, context, width);
  Object.assign(canvas, { width, height: Math.max(height, least) });
  context.fillStyle = viewer.theme.background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  let top = SPACE;
  rows.forEach((row, index) => {
    row.forEach((parts, column) => {
      let y = top;
      for (const { tall, draw } of parts) {
        context.setTransform(ratio, 0, 0, ratio, (SPACE + column * (card + SPACE)) * ratio, y * ratio);
        context.save();
        draw(context);
        context.restore();
        y += tall;
      }
    });
    top += talls[index] + SPACE;
  });
  context.setTransform(ratio, 0, 0, ratio, SPACE * ratio, canvas.height - 14 * ratio);
  context.font = `11px ${viewer.theme.font}`;
  context.fillStyle = viewer.theme.text;
  context.globalAlpha = 0.7;
  context.fillText(settingsWords(viewer), 0, 4, width / ratio - 2 * SPACE);
  return canvas;
}

/** @param {Viewer} viewer */
function settingsWords({ cards, state: { opacity, gamma, threshold, cut, blend } }) {
  const titles = new Set(cards.map(({ colours }) => colourTable(colours).title));
  const below = cut === "value" ? `values below ${percent(threshold)} of the scale` : `the lowest ${percent(threshold)} of values`;
  const hidden = threshold > 0 ? `, ${below} hidden` : "";
  return `attnlab · ${blend}, ${[...titles].join(" and ")}, opacity ${percent(opacity)}, gamma ${gamma.toFixed(2)}${hidden}`;
}

/**
 * @param {Viewer} viewer
 * @param {number} width
 */
export async function savePicture(viewer, width) {
  const canvas = pictureOf(viewer, width);
  /** @type {Blob | null} */
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  if (blob) saveFile(viewer, blob, `${width}px.png`);
  viewer.schedule();
}

/**
 * One frame per step. The page may draw between two of them, so it stays alive.
 * @param {Viewer} viewer
 * @param {HTMLButtonElement} button shows how far it is
 */
export async function saveTimeLapse(viewer, button) {
  const text = button.textContent;
  button.disabled = true;
  const { step } = viewer.state;
  viewer.play(false);
  const every = Math.ceil(viewer.steps.length / GIF_FRAMES);
  const last = viewer.steps.length - 1;
  const shown = viewer.steps.filter((_, place) => place === last || place % every === 0);
  const measure = contextOf(newCanvas(0, 0));
  /** @type {<Result>(moment: number, make: () => Result) => Result} */
  const at = (moment, make) => {
    viewer.state.step = moment;
    const result = make();
    viewer.state.step = step; // between two frames the page shows what it showed
    return result;
  };
  const height = Math.max(...shown.map((moment) => at(moment, () => pictureLayout(viewer, measure, GIF_WIDTH).height)));
  const counts = emptyCounts();
  const frames = [];
  for (const moment of shown) {
    const context = contextOf(at(moment, () => pictureOf(viewer, GIF_WIDTH, height)));
    const { data } = context.getImageData(0, 0, GIF_WIDTH, height);
    frames.push({ bins: countColours(data, counts), rest: moment === viewer.steps[last] ? REST_MS : FRAME_MS });
    button.textContent = `${frames.length} of ${shown.length}`;
    await new Promise((done) => setTimeout(done));
  }
  saveFile(viewer, new Blob([encodeGif(GIF_WIDTH, height, frames, counts)], { type: "image/gif" }), "time-lapse.gif");
  button.textContent = text;
  button.disabled = false;
  viewer.schedule();
}

/**
 * @param {Viewer} viewer
 * @param {Blob} blob
 * @param {string} ending
 */
function saveFile(viewer, blob, ending) {
  const names = new Set(viewer.panels.map((panel) => panel.run || panel.title));
  const name = [...names].join("_").replace(/[^\w.-]+/g, "-").slice(0, 80) || "attention";
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name}-${ending}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
