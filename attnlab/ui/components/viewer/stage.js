// @ts-check
// The picture of a card, with the map, the outline of the object and the cross-hair over it.
import { contextOf, newCanvas, putPixels, rgbCanvas, sharpContext, strokeTwice } from "../lib/canvas.js";
import { levelsOf, mapCanvas, palette } from "../lib/colours.js";
import { element } from "../lib/dom.js";
import { boxOf, cellAt, middleOf, WHOLE } from "../lib/grid.js";
import { Latest } from "../lib/latest.js";
import { extent } from "../lib/numbers.js";
import { frameOf } from "./field.js";
import { contourLines, rowWeights, upsample } from "./maths.js";

/** @import { Card } from "./card.js" */
/** @import { Field } from "./field.js" */
/** @import { Layer } from "./payload.js" */

/** Side of the drawn map for so many cards. @type {Record<number, number>} */
const SHARP = { 1: 224, 2: 224, 3: 160, 4: 160 };
const LEAST_SHARP = 112;
const VEIL = "rgb(8 12 16)";
const CONTOURS = [0.1, 0.25, 0.4, 0.55, 0.7, 0.85];

/** @typedef {{ key: string, tall: number, wide: number, levels: Uint8ClampedArray }} Levels on the grid that is drawn */

export class Stage {
  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    const { width, height, pixels } = card.panel;
    this.root = element("div", "stage");
    this.root.style.aspectRatio = `${width} / ${height}`;
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.root.append(this.canvas);
    this.wide = 0;
    this.tall = 0;
    this.picture = rgbCanvas(pixels, height, width);
    this.scaled = newCanvas(0, 0);
    this.heat = newCanvas(0, 0);
    this.heatPixels = new Uint32Array();
    /** @type {Latest<HTMLCanvasElement>} */
    this.backdrop = new Latest();
    /** @type {Latest<Levels>} */
    this.levels = new Latest();
    /** @type {Latest<HTMLCanvasElement>} */
    this.heatMap = new Latest();
    /** @type {Latest<{ height: number, path: Path2D }[]>} */
    this.contours = new Latest();
    /** @type {Latest<Path2D>} */
    this.outline = new Latest();
  }

  measure() {
    this.wide = this.canvas.clientWidth;
    this.tall = this.canvas.clientHeight;
  }

  draw() {
    if (!this.wide || !this.tall) return;
    const context = sharpContext(this.canvas, this.wide, this.tall, 2);
    this.paint(context, this.wide, this.tall, this.scaledPicture());
  }

  /**
   * Everything on the stage, over an image that is scaled as needed.
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   * @param {HTMLCanvasElement} image
   */
  paint(context, wide, tall, image) {
    const { state, hoverChannel } = this.card.viewer;
    context.drawImage(image, 0, 0, wide, tall);
    if (this.card.layer?.features && hoverChannel !== null) this.drawFeature(context, wide, tall);
    else if (this.card.field) {
      if (state.blend === "contour") this.drawContours(context, wide, tall);
      else this.drawHeat(context, wide, tall);
    }
    if (state.mask && this.card.panel.mask) this.drawMask(context, wide, tall, this.card.panel.mask);
    this.drawMarks(context, wide, tall);
  }

  /** The picture at the size of the stage, scaled once. */
  scaledPicture() {
    const { width, height } = this.canvas;
    return this.backdrop.get(`${width}:${height}`, () => this.scaledTo(this.scaled, width, height));
  }

  /**
   * The picture on a canvas of another size.
   * @param {HTMLCanvasElement} canvas
   * @param {number} width
   * @param {number} height
   */
  scaledTo(canvas, width, height) {
    Object.assign(canvas, { width, height });
    const context = contextOf(canvas);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, 0, 0, width, height);
    return canvas;
  }

  // ---- the map ------------------------------------------------------------------------------------------------------

  /** Levels 0..255 on the grid that is drawn: the map's own cells, or a finer one with straight lines between centres. */
  drawnLevels() {
    const { card } = this;
    const { cards, state } = card.viewer;
    const smooth = state.smooth || state.blend === "contour";
    const side = smooth ? (SHARP[cards.length] ?? LEAST_SHARP) : 0;
    const key = `${card.key}:${side}:${card.ends}`;
    return this.levels.get(key, () => {
      const { height, width } = card.field ?? { height: 0, width: 0 };
      const { panel, values } = card;
      const scale = side / Math.max(panel.width, panel.height);
      const tall = Math.max(height, Math.round(panel.height * scale));
      const wide = Math.max(width, Math.round(panel.width * scale));
      const fine = side ? upsample(values, height, width, tall, wide) : values;
      return { key, tall, wide, levels: levelsOf(fine, ...card.ends) };
    });
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   */
  drawHeat(context, wide, tall) {
    const { card } = this;
    const { state } = card.viewer;
    const drawn = this.drawnLevels();
    const heat = this.heatMap.get(`${drawn.key}:${card.colours}:${state.blend}:${card.bend}`, () => this.paintHeat(drawn));
    context.globalAlpha = state.opacity;
    context.imageSmoothingEnabled = state.smooth;
    const box = boxOf(card.field?.frame ?? WHOLE, wide, tall);
    context.drawImage(heat, box.x, box.y, box.wide, box.tall);
    if (state.blend === "reveal") {
      const outside = new Path2D(); // no weight lets anything through there
      outside.rect(0, 0, wide, tall);
      outside.rect(box.x, box.y, box.wide, box.tall);
      context.fillStyle = VEIL;
      context.fill(outside, "evenodd");
    }
    context.globalAlpha = 1;
  }

  /**
   * Writes the coloured map, one pixel per level.
   * @param {Levels} drawn
   */
  paintHeat({ tall, wide, levels }) {
    const { index, viewer } = this.card;
    const { pixels } = palette(this.card.colours);
    const reveal = viewer.state.blend === "reveal";
    const table = Uint32Array.from(index, (at) => {
      if (reveal) return (((255 - Math.max(at, 0)) << 24) | 0x100c08) >>> 0; // VEIL
      return at < 0 ? 0 : pixels[at];
    });
    if (this.heatPixels.length !== levels.length) this.heatPixels = new Uint32Array(levels.length);
    for (let i = 0; i < levels.length; i++) this.heatPixels[i] = table[levels[i]];
    return putPixels(this.heat, this.heatPixels, tall, wide);
  }

  /**
   * The features of the channel pointed at, from their least (black) to their greatest (white).
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   */
  drawFeature(context, wide, tall) {
    const features = this.card.layer?.features;
    const channel = this.card.strip.marked();
    if (!features || channel === null) return;
    const row = rowWeights(features, 0, channel);
    context.imageSmoothingEnabled = this.card.viewer.state.smooth;
    const box = boxOf(frameOf(features, this.card.viewer.state), wide, tall);
    context.drawImage(mapCanvas(row, features.grid, extent(row), "grey"), box.x, box.y, box.wide, box.tall);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   */
  drawContours(context, wide, tall) {
    const { cut, index, layer, viewer } = this.card;
    const drawn = this.drawnLevels();
    const box = boxOf(this.card.field?.frame ?? WHOLE, wide, tall);
    const contours = this.contours.get(`${drawn.key}:${cut}:${wide}:${tall}`, () => {
      const heights = CONTOURS.filter((height) => index[Math.round(height * 255)] >= 0);
      if (cut > 0 && layer?.scale !== "factor") heights.unshift(cut);
      return heights.map((height) => {
        const lines = contourLines(drawn.levels, drawn.tall, drawn.wide, height * 255 + 0.01);
        const path = new Path2D();
        for (let i = 0; i < lines.length; i += 4) {
          path.moveTo(box.x + lines[i] * box.wide, box.y + lines[i + 1] * box.tall);
          path.lineTo(box.x + lines[i + 2] * box.wide, box.y + lines[i + 3] * box.tall);
        }
        return { height, path };
      });
    });
    const { css } = palette(this.card.colours);
    context.globalAlpha = Math.min(1, viewer.state.opacity + 0.35);
    context.lineCap = "round";
    for (const { height, path } of contours) {
      strokeTwice(context, path, 3.4, 1.8, "rgb(0 0 0 / 0.55)", css[Math.max(index[Math.round(height * 255)], 0)]);
    }
    context.globalAlpha = 1;
  }

  // ---- marks --------------------------------------------------------------------------------------------------------

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   * @param {Uint8Array} mask
   */
  drawMask(context, wide, tall, mask) {
    const { width, height } = this.card.panel;
    const outline = this.outline.get(`${wide}:${tall}`, () => outlineOf(mask, height, width, wide / width, tall / height));
    strokeTwice(context, outline, 2.4, 1, "rgb(0 0 0 / 0.4)", "rgb(255 255 255 / 0.9)");
  }

  /**
   * The cross-hair, pinned positions, and the neighbourhood that is ignored.
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   */
  drawMarks(context, wide, tall) {
    const { field, layer, viewer } = this.card;
    const { pair, near } = viewer.state;
    if (field && layer) this.drawPlace(context, wide, tall, field, layer);
    if (viewer.cursor) {
      const [x, y] = [viewer.cursor.u * wide, viewer.cursor.v * tall];
      const cross = new Path2D();
      cross.moveTo(x, 0);
      cross.lineTo(x, tall);
      cross.moveTo(0, y);
      cross.lineTo(wide, y);
      strokeTwice(context, cross, 2.5, 1, "rgb(0 0 0 / 0.28)", "rgb(255 255 255 / 0.75)");
    }
    if (layer?.kind !== "pairwise" || pair === "entropy" || field?.token) return;
    const grid = pair === "column" ? layer.grid : layer.queries;
    const frame = frameOf(layer, viewer.state);
    const map = boxOf(frame, wide, tall);
    context.save();
    context.translate(map.x, map.y);
    for (const at of viewer.focus()) {
      const { row, column } = cellAt(grid, at, frame);
      const [w, h] = [map.wide / grid[1], map.tall / grid[0]];
      const box = new Path2D();
      box.rect(column * w, row * h, w, h);
      strokeTwice(context, box, 4, 1.8, "rgb(0 0 0 / 0.6)");
      if (!near || pair !== "row") continue;
      const reach = near - 1;
      const key = cellAt(layer.grid, at, frame);
      const [kw, kh] = [map.wide / layer.grid[1], map.tall / layer.grid[0]];
      context.setLineDash([4, 3]);
      context.lineWidth = 1;
      context.strokeStyle = "rgb(255 255 255 / 0.8)";
      context.strokeRect((key.column - reach) * kw, (key.row - reach) * kh, (2 * reach + 1) * kw, (2 * reach + 1) * kh);
      context.setLineDash([]);
    }
    context.restore();
  }

  /**
   * Where the cells end, if inside the picture, and what of the picture the cell under the cross-hair sees.
   * @param {CanvasRenderingContext2D} context
   * @param {number} wide
   * @param {number} tall
   * @param {Field} field
   * @param {Layer} layer
   */
  drawPlace(context, wide, tall, { frame, height, width }, layer) {
    if (frame === WHOLE) return;
    const { cursor } = this.card.viewer;
    const outlines = [boxOf(frame, wide, tall)];
    if (cursor && layer.field) {
      const middle = middleOf([height, width], cellAt([height, width], cursor, frame), frame);
      const [w, h] = [(layer.field[1] / layer.picture[1]) * wide, (layer.field[0] / layer.picture[0]) * tall];
      outlines.push({ x: middle.u * wide - w / 2, y: middle.v * tall - h / 2, wide: w, tall: h });
    }
    context.setLineDash([3, 3]);
    for (const { x, y, wide: w, tall: h } of outlines) {
      const path = new Path2D();
      path.rect(x, y, w, h);
      strokeTwice(context, path, 1.6, 0.8, "rgb(0 0 0 / 0.4)", "rgb(255 255 255 / 0.7)");
    }
    context.setLineDash([]);
  }
}

/**
 * The outline of the object, along pixel edges.
 * @param {Uint8Array} mask
 * @param {number} height
 * @param {number} width
 * @param {number} dx of a pixel
 * @param {number} dy
 */
function outlineOf(mask, height, width, dx, dy) {
  const path = new Path2D();
  const inside = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] !== 0;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      if (inside(x, y) !== inside(x - 1, y)) {
        path.moveTo(x * dx, y * dy);
        path.lineTo(x * dx, (y + 1) * dy);
      }
      if (inside(x, y) !== inside(x, y - 1)) {
        path.moveTo(x * dx, y * dy);
        path.lineTo((x + 1) * dx, y * dy);
      }
    }
  }
  return path;
}
