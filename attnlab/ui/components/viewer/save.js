// A part of the attention viewer: what is shown as a file. A PNG of all cards with colour bars and words, at a chosen
// width; a GIF of the time-lapse. Both are made here, so they are what is seen, and need no server.

const PICTURE_WIDTHS = [512, 1024, 2048];
const GIF_WIDTH = 512;
const GIF_FRAMES = 60; // more steps are thinned out: the file stays a few MB
const CARD_LEAST = 240; // a card is laid out this wide at least, so that its words stay legible
const CARD_MOST = 420;
const SPACE = 16;

// Text in lines no wider than `wide`.
function wrapped(brush, text, wide) {
  const lines = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (line && brush.measureText(longer).width > wide) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

Object.assign(Card.prototype, {
  // What names the map in a caption: run, map, step, position, scale, prediction.
  captionLines() {
    const { layer, panel, viewer, field } = this;
    const lines = [this.fixedLayer ? panel.title : "", panel.run && panel.run !== panel.title ? `run ${panel.run}` : "", panel.subtitle];
    if (layer) lines.push(`map ${layer.title}${layer.title === layer.name ? "" : ` (${layer.name})`}`);
    if (panel.steps.length) lines.push(`training step ${panel.steps[this.moment].toLocaleString("en")}`);
    if (layer?.kind === "pairwise" && viewer.state.pair !== "entropy") {
      const grid = viewer.state.pair === "column" ? layer.grid : layer.queries;
      const cells = viewer.focus().map((at) => cellAt(grid, at));
      const where = cells.map(({ row, column }) => `row ${row}, column ${column}`).join("; ");
      lines.push(`${viewer.state.pair === "column" ? "who looks at" : "where it looks from"} ${where}`);
    }
    if (field && layer.kind === "element") lines.push(viewer.state.channel === null ? "mean over the channels" : `channel ${this.markedChannel()}`);
    if (layer) lines.push(scaleWords(viewer.state.scope, layer, field, this.ends));
    if (panel.probabilities.length) {
      const truth = panel.truth === null ? "" : `, true class ${panel.classes[panel.truth]}`;
      lines.push(`predicted ${this.predictedWords()}${truth}`);
    }
    return lines.filter(Boolean);
  },

  // The pieces of the card from top to bottom, {tall, draw(brush, x, y)}.
  pictureParts(brush, wide, ratio) {
    const { theme } = this.viewer;
    const parts = [];
    const words = (text, font, tall, alpha) => {
      brush.font = font;
      for (const line of wrapped(brush, text, wide)) {
        const draw = (ink) => {
          ink.font = font;
          ink.fillStyle = theme.text;
          ink.globalAlpha = alpha;
          ink.fillText(line, 0, tall - 5);
          ink.globalAlpha = 1;
        };
        parts.push({ tall, draw });
      }
    };
    this.prepare();
    words(this.fixedLayer ? this.fixedLayer.title : this.panel.title, `600 15px ${theme.font}`, 21, 1);
    const high = (wide * this.panel.height) / this.panel.width;
    const image = Object.assign(document.createElement("canvas"), { width: Math.round(wide * ratio), height: Math.round(high * ratio) });
    const ink = image.getContext("2d");
    ink.imageSmoothingEnabled = this.viewer.state.smooth;
    ink.imageSmoothingQuality = "high";
    ink.drawImage(this.picture, 0, 0, image.width, image.height);
    parts.push({ tall: high, draw: (on) => this.paintStage(on, wide, high, image) });
    if (this.layer) {
      parts.push({ tall: 6, draw: () => {} });
      if (this.cache.gates) parts.push({ tall: this.stripPlan(wide).height, draw: (on) => this.paintStrip(on, wide, ratio) });
      const legend = (on) => {
        this.paintRamp(on, wide);
        this.paintTicks(on, wide);
      };
      parts.push({ tall: LEGEND_HEIGHT + 4, draw: legend });
    }
    for (const line of this.captionLines()) words(line, `12px ${theme.font}`, 17, 0.85);
    return parts;
  },
});

Object.assign(Viewer.prototype, {
  // Where everything lies on a picture `width` pixels wide.
  pictureLayout(brush, width) {
    const columns = Math.max(1, Math.min(this.columns || 1, this.cards.length, Math.floor(width / CARD_LEAST)));
    const card = Math.min(CARD_MOST, Math.max(CARD_LEAST, (width - SPACE * (columns + 1)) / columns));
    const ratio = width / (columns * card + SPACE * (columns + 1));
    const cards = this.cards.map((each) => each.pictureParts(brush, card, ratio));
    const rows = [];
    for (let at = 0; at < cards.length; at += columns) rows.push(cards.slice(at, at + columns));
    const talls = rows.map((row) => Math.max(...row.map((parts) => parts.reduce((total, { tall }) => total + tall, 0))));
    const high = talls.reduce((total, tall) => total + tall + SPACE, SPACE) + 17;
    return { card, ratio, rows, talls, height: Math.round(high * ratio) };
  },

  // All cards on one canvas `width` pixels wide, and at least so high.
  picture(width, least = 0) {
    const canvas = document.createElement("canvas");
    const brush = canvas.getContext("2d", { willReadFrequently: true });
    const { card, ratio, rows, talls, height } = this.pictureLayout(brush, width);
    Object.assign(canvas, { width, height: Math.max(height, least) });
    brush.fillStyle = this.theme.background;
    brush.fillRect(0, 0, canvas.width, canvas.height);
    let top = SPACE;
    rows.forEach((row, index) => {
      row.forEach((parts, column) => {
        let y = top;
        for (const { tall, draw } of parts) {
          brush.setTransform(ratio, 0, 0, ratio, (SPACE + column * (card + SPACE)) * ratio, y * ratio);
          brush.save();
          draw(brush);
          brush.restore();
          y += tall;
        }
      });
      top += talls[index] + SPACE;
    });
    brush.setTransform(ratio, 0, 0, ratio, SPACE * ratio, canvas.height - 14 * ratio);
    brush.font = `11px ${this.theme.font}`;
    brush.fillStyle = this.theme.text;
    brush.globalAlpha = 0.7;
    brush.fillText(this.settingsWords(), 0, 4, width / ratio - 2 * SPACE);
    return canvas;
  },

  settingsWords() {
    const { opacity, gamma, threshold, cut, blend, colours } = this.state;
    const hidden = threshold > 0 ? `, lowest ${percent(threshold)} ${cut === "value" ? "of the scale" : "of the cells"} hidden` : "";
    return `attnlab · ${blend}, ${COLOUR_TABLES[colours].title}, opacity ${percent(opacity)}, gamma ${gamma.toFixed(2)}${hidden}`;
  },

  async savePicture(width) {
    const canvas = this.picture(width);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    this.saveFile(blob, `${width}px.png`);
    this.schedule();
  },

  // One frame a step. The page may draw between two of them, so it stays alive.
  async saveTimeLapse(button) {
    const said = button.textContent;
    button.disabled = true;
    const { step } = this.state;
    this.play(false);
    const every = Math.ceil(this.steps.length / GIF_FRAMES);
    const last = this.steps.length - 1;
    const shown = this.steps.filter((_, place) => place === last || place % every === 0);
    const measure = document.createElement("canvas").getContext("2d");
    const at = (moment, make) => {
      this.state.step = moment;
      const made = make();
      this.state.step = step; // between two frames the page shows what it showed
      return made;
    };
    const height = Math.max(...shown.map((moment) => at(moment, () => this.pictureLayout(measure, GIF_WIDTH).height)));
    const counts = emptyCounts();
    const frames = [];
    for (const moment of shown) {
      const brush = at(moment, () => this.picture(GIF_WIDTH, height)).getContext("2d");
      const { data } = brush.getImageData(0, 0, GIF_WIDTH, height);
      frames.push({ bins: countColours(data, counts), rest: moment === this.steps[last] ? REST_MS : FRAME_MS });
      button.textContent = `${frames.length} of ${shown.length}`;
      await new Promise((done) => setTimeout(done));
    }
    this.saveFile(new Blob([encodeGif(GIF_WIDTH, height, frames, counts)], { type: "image/gif" }), "time-lapse.gif");
    button.textContent = said;
    button.disabled = false;
    this.schedule();
  },

  saveFile(blob, ending) {
    const names = new Set(this.panels.map((panel) => panel.run || panel.title));
    const name = [...names].join("_").replace(/[^\w.-]+/g, "-").slice(0, 80) || "attention";
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name}-${ending}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  },
});
