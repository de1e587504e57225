// A part of the attention viewer: one card, an image with one map over it, its numbers and its prediction.

const SHARP = { 1: 224, 2: 224, 3: 160, 4: 160 }; // side of the drawn map for so many cards; more cards: 112

export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

class Card {
  constructor(viewer, panel, fixedLayer, continued = false) {
    this.viewer = viewer;
    this.panel = panel;
    this.fixedLayer = fixedLayer; // when all layers are shown side by side
    this.continued = continued; // a card before this one has the same prediction
    this.hoverChannel = null;
    this.cache = {};
    this.build();
  }

  build() {
    this.root = element("article", "card");
    const header = element("header");
    this.title = element("h4", "", this.fixedLayer ? this.fixedLayer.title : this.panel.title);
    this.subtitle = element("p", "subtitle");
    header.append(this.title, this.subtitle);
    this.root.append(header);
    if (this.panel.colour) this.root.style.setProperty("--run", this.panel.colour);
    this.stageBox = element("div", "stage");
    this.stageBox.style.aspectRatio = `${this.panel.width} / ${this.panel.height}`;
    this.stage = element("canvas");
    this.stage.tabIndex = 0;
    this.stage.setAttribute("role", "img");
    this.readout = element("div", "readout");
    this.stageBox.append(this.stage, this.readout);
    this.side = element("div", "side");
    this.strip = element("canvas", "strip");
    this.legend = element("canvas", "legend");
    this.legend.setAttribute("role", "img");
    this.legendWords = element("p", "words");
    this.facts = element("p", "facts");
    this.odds = element("ul", "odds");
    const legendBox = element("div", "legend-box");
    this.stretch = element("button", "stretch");
    this.stretch.type = "button";
    this.stretch.hidden = true;
    this.stretch.addEventListener("click", () => this.viewer.set({ scope: "map" }, true));
    this.pointer = element("span", "pointer");
    legendBox.append(this.pointer, this.legend, this.legendWords, this.stretch);
    this.legendBox = legendBox;
    this.side.append(this.strip, legendBox, this.facts, this.odds);
    this.root.append(this.stageBox, this.side);
    this.picture = document.createElement("canvas");
    this.picture.width = this.panel.width;
    this.picture.height = this.panel.height;
    const pixels = new ImageData(this.panel.width, this.panel.height);
    for (let i = 0, from = 0; from < this.panel.pixels.length; i += 4, from += 3) {
      pixels.data.set(this.panel.pixels.subarray(from, from + 3), i);
      pixels.data[i + 3] = 255;
    }
    this.picture.getContext("2d").putImageData(pixels, 0, 0);
    this.heat = document.createElement("canvas");
    this.buildOdds();
  }

  buildOdds() {
    const { panel } = this;
    this.bars = [];
    this.odds.hidden = this.continued || !panel.probabilities.length;
    if (this.odds.hidden) return;
    this.odds.setAttribute("aria-label", "Prediction");
    this.odds.classList.toggle("judged", panel.truth !== null);
    for (const index of shownClasses(panel.probabilities, this.viewer.compact ? 3 : 5, panel.truth)) {
      const row = element("li", index === panel.truth ? "true" : "");
      const name = element("span", "name", panel.classes[index]);
      if (index === panel.truth) name.append(element("span", "tick", " ✓"));
      row.title = index === panel.truth ? `${panel.classes[index]}: the true class` : panel.classes[index];
      const track = element("span", "track");
      const fill = element("span", "fill");
      track.append(fill);
      const number = element("span", "number");
      row.append(name, track, number);
      this.odds.append(row);
      this.bars.push({ index, fill, number, row });
    }
  }

  get layer() {
    return this.fixedLayer ?? this.viewer.layerOf(this.panel);
  }

  get moment() {
    return this.panel.steps.length ? momentAt(this.panel.steps, this.viewer.step) : 0;
  }

  // ---- what is shown ------------------------------------------------------------------------------------------------

  // Recomputes field, values and scale where something they depend on has changed.
  prepare() {
    const { state } = this.viewer;
    const { layer } = this;
    const moment = layer && layer.moments > 1 ? this.moment : 0;
    const field = fieldOf(layer, moment, state, this.viewer.focus(), this.viewer.hoverChannel);
    const key = layer ? `${layer.name}:${field ? field.key : moment}` : "";
    if (this.cache.key !== key) {
      this.cache = { key };
      if (field) this.cache.values = field.compute();
      if (layer && (layer.kind === "channel" || layer.kind === "element")) {
        const gates = layer.kind === "channel" ? rowWeights(layer, moment, 0) : rowMeans(layer, moment);
        const factor = layer.kind === "channel" ? shownFactor(layer) : 1;
        this.cache.gates = gates.map((gate) => gate * factor);
      }
      this.factsKey = "";
    }
    this.field = field;
    this.values = this.cache.values ?? this.cache.gates;
    if (!layer) return;
    this.ends = scaleEnds(state.scope, layer, moment, field, this.values, this.panel, this.viewer.panels);
    this.cut = this.cutShare();
    const bend = `${state.gamma}:${this.cut}`;
    if (this.bend !== bend) {
      this.bend = bend;
      this.index = colourIndex(state.gamma, this.cut);
    }
  }

  // The threshold as a share of the colour scale.
  cutShare() {
    const { threshold, cut } = this.viewer.state;
    if (threshold <= 0) return 0;
    if (cut === "value") return threshold;
    if (this.cache.cutAt !== threshold) {
      this.cache.cutAt = threshold;
      this.cache.cutValue = quantile(this.values, threshold);
    }
    const [low, high] = this.ends;
    return high > low ? Math.min(Math.max((this.cache.cutValue - low) / (high - low), 0), 1) : 0;
  }

  // Levels 0..255 on the grid that is drawn: the map's own cells, or a finer one with straight lines between centres.
  levels() {
    const { field, cache } = this;
    const smooth = this.viewer.state.smooth || this.viewer.state.blend === "contour";
    const side = smooth ? (SHARP[this.viewer.cards.length] ?? 112) : 0;
    const key = `${side}:${this.ends}`;
    if (cache.levelsKey !== key) {
      cache.levelsKey = key;
      cache.linesKey = "";
      const scale = side ? side / Math.max(this.panel.width, this.panel.height) : 0;
      cache.tall = side ? Math.max(field.height, Math.round(this.panel.height * scale)) : field.height;
      cache.wide = side ? Math.max(field.width, Math.round(this.panel.width * scale)) : field.width;
      const fine = side ? upsample(this.values, field.height, field.width, cache.tall, cache.wide) : this.values;
      cache.levels = levelsOf(fine, ...this.ends);
    }
    return cache;
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------

  draw() {
    this.prepare();
    this.drawStage();
    this.drawStrip();
    this.drawLegend();
    this.writeFacts();
    this.writeOdds();
    this.writeReadout();
  }

  // Sizes are read for all cards before anything is written, so that the browser lays the page out once a frame.
  measure() {
    this.stageSize = [this.stage.clientWidth, this.stage.clientHeight];
    this.sideWidth = this.side.clientWidth;
  }

  // A canvas as sharp as the screen; null while it has no size.
  surface(canvas, wide, tall) {
    if (!wide || !tall) return null;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, rows] = [Math.round(wide * ratio), Math.round(tall * ratio)];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== rows) canvas.height = rows;
    const brush = canvas.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.clearRect(0, 0, wide, tall);
    return { brush, wide, tall };
  }

  drawStage() {
    const surface = this.surface(this.stage, ...this.stageSize);
    if (!surface) return;
    this.paintStage(surface.brush, surface.wide, surface.tall, this.backdrop());
  }

  // Everything on the stage, over an image that is scaled as needed.
  paintStage(brush, wide, tall, image) {
    const { state } = this.viewer;
    brush.drawImage(image, 0, 0, wide, tall);
    if (this.layer?.features && this.viewer.hoverChannel !== null) this.drawFeature(brush, wide, tall);
    else if (this.field) {
      if (state.blend === "contour") this.drawContours(brush, wide, tall);
      else this.drawHeat(brush, wide, tall);
    }
    if (state.mask && this.panel.mask) this.drawMask(brush, wide, tall);
    this.drawMarks(brush, wide, tall);
  }

  // The image at the size of the stage, scaled once.
  backdrop() {
    const { smooth } = this.viewer.state;
    const { width, height } = this.stage;
    const key = `${width}:${height}:${smooth}`;
    if (this.backdropKey !== key) {
      this.backdropKey = key;
      this.scaled ??= document.createElement("canvas");
      Object.assign(this.scaled, { width, height });
      const brush = this.scaled.getContext("2d");
      brush.imageSmoothingEnabled = smooth;
      brush.imageSmoothingQuality = "high";
      brush.drawImage(this.picture, 0, 0, width, height);
    }
    return this.scaled;
  }

  drawHeat(brush, wide, tall) {
    const { state } = this.viewer;
    const cache = this.levels();
    const key = `${this.cache.key}:${cache.levelsKey}:${state.colours}:${state.blend}:${state.gamma}:${this.cut}`;
    if (this.heatKey !== key) {
      this.heatKey = key;
      this.paintHeat(cache);
    }
    brush.globalAlpha = state.opacity;
    brush.imageSmoothingEnabled = state.smooth;
    brush.drawImage(this.heat, 0, 0, wide, tall);
    brush.globalAlpha = 1;
  }

  // Writes the coloured map, one pixel for each level.
  paintHeat(cache) {
    const { state } = this.viewer;
    const { pixels } = palette(state.colours);
    if (this.heat.width !== cache.wide || this.heat.height !== cache.tall) {
      this.heat.width = cache.wide;
      this.heat.height = cache.tall;
      this.heatPixels = null;
    }
    const ink = this.heat.getContext("2d");
    this.heatPixels ??= ink.createImageData(cache.wide, cache.tall);
    const table = new Uint32Array(256);
    const reveal = state.blend === "reveal";
    for (let level = 0; level < 256; level++) {
      const index = this.index[level];
      if (reveal) table[level] = (((255 - Math.max(index, 0)) << 24) | 0x100c08) >>> 0;
      else table[level] = index < 0 ? 0 : pixels[index];
    }
    const out = new Uint32Array(this.heatPixels.data.buffer);
    const { levels } = cache;
    for (let i = 0; i < levels.length; i++) out[i] = table[levels[i]];
    ink.putImageData(this.heatPixels, 0, 0);
  }

  // The features of the channel pointed at, from their least (black) to their greatest (white).
  drawFeature(brush, wide, tall) {
    const { features } = this.layer;
    const [height, width] = features.grid;
    const { pixels } = palette("grey");
    const row = rowWeights(features, 0, this.markedChannel());
    const levels = levelsOf(row, ...extent(row));
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const drawn = new ImageData(new Uint8ClampedArray(Uint32Array.from(levels, (level) => pixels[level]).buffer), width, height);
    canvas.getContext("2d").putImageData(drawn, 0, 0);
    brush.imageSmoothingEnabled = this.viewer.state.smooth;
    brush.drawImage(canvas, 0, 0, wide, tall);
  }

  drawContours(brush, wide, tall) {
    const { state } = this.viewer;
    const cache = this.levels();
    const key = `${this.cut}`;
    if (cache.linesKey !== key) {
      cache.linesKey = key;
      const heights = [0.1, 0.25, 0.4, 0.55, 0.7, 0.85].filter((height) => height > this.cut);
      if (this.cut > 0) heights.unshift(this.cut);
      cache.lines = heights.map((height) => [height, contourLines(cache.levels, cache.tall, cache.wide, height * 255 + 0.01)]);
    }
    const { css } = palette(state.colours);
    brush.globalAlpha = Math.min(1, state.opacity + 0.35);
    brush.lineCap = "round";
    for (const [height, lines] of cache.lines) {
      const path = new Path2D();
      for (let i = 0; i < lines.length; i += 4) {
        path.moveTo(lines[i] * wide, lines[i + 1] * tall);
        path.lineTo(lines[i + 2] * wide, lines[i + 3] * tall);
      }
      brush.lineWidth = 3.4;
      brush.strokeStyle = "rgb(0 0 0 / 0.55)";
      brush.stroke(path);
      brush.lineWidth = 1.8;
      brush.strokeStyle = css[Math.max(this.index[Math.round(height * 255)], 0)];
      brush.stroke(path);
    }
    brush.globalAlpha = 1;
  }

  drawMask(brush, wide, tall) {
    const size = `${wide}:${tall}`;
    if (this.outlineSize !== size) {
      this.outlineSize = size;
      this.outline = this.outlinePath(wide, tall);
    }
    brush.lineWidth = 2.4;
    brush.strokeStyle = "rgb(0 0 0 / 0.4)";
    brush.stroke(this.outline);
    brush.lineWidth = 1;
    brush.strokeStyle = "rgb(255 255 255 / 0.9)";
    brush.stroke(this.outline);
  }

  // The outline of the object, along pixel edges.
  outlinePath(wide, tall) {
    const { width, height, mask } = this.panel;
    const path = new Path2D();
    const [dx, dy] = [wide / width, tall / height];
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
    for (let y = 0; y <= height; y++) {
      for (let x = 0; x <= width; x++) {
        const here = !!inside(x, y);
        if (here !== !!inside(x - 1, y)) {
          path.moveTo(x * dx, y * dy);
          path.lineTo(x * dx, (y + 1) * dy);
        }
        if (here !== !!inside(x, y - 1)) {
          path.moveTo(x * dx, y * dy);
          path.lineTo((x + 1) * dx, y * dy);
        }
      }
    }
    return path;
  }

  // Pinned positions, the cross-hair, and the neighbourhood left out.
  drawMarks(brush, wide, tall) {
    const { viewer, layer } = this;
    const paired = layer?.kind === "pairwise" && viewer.state.pair !== "entropy";
    const line = (width, style, draw) => {
      brush.lineWidth = width;
      brush.strokeStyle = style;
      brush.beginPath();
      draw();
      brush.stroke();
    };
    if (viewer.cursor) {
      const [x, y] = [viewer.cursor.u * wide, viewer.cursor.v * tall];
      const cross = () => {
        brush.moveTo(x, 0);
        brush.lineTo(x, tall);
        brush.moveTo(0, y);
        brush.lineTo(wide, y);
      };
      line(2.5, "rgb(0 0 0 / 0.28)", cross);
      line(1, "rgb(255 255 255 / 0.75)", cross);
    }
    if (!paired) return;
    const grid = viewer.state.pair === "column" ? layer.grid : layer.queries;
    for (const at of viewer.focus()) {
      const { row, column } = cellAt(grid, at);
      const [w, h] = [wide / grid[1], tall / grid[0]];
      const box = () => brush.rect(column * w, row * h, w, h);
      line(4, "rgb(0 0 0 / 0.6)", box);
      line(1.8, "#fff", box);
      if (viewer.state.near && viewer.state.pair === "row") {
        const near = viewer.state.near - 1;
        const key = cellAt(layer.grid, at);
        const [kw, kh] = [wide / layer.grid[1], tall / layer.grid[0]];
        brush.setLineDash([4, 3]);
        line(1, "rgb(255 255 255 / 0.8)", () =>
          brush.rect((key.column - near) * kw, (key.row - near) * kh, (2 * near + 1) * kw, (2 * near + 1) * kh),
        );
        brush.setLineDash([]);
      }
    }
  }
}
