// A part of the attention viewer: the strip of a card, one bar a channel.
//
// Bars are written as pixels: 512 filled rectangles of 200 colours cost more than a whole frame may take.

const STRIP_GAP = 7;

// Any CSS colour as a packed pixel.
function packed(brush, colour) {
  brush.fillStyle = colour;
  const [red, green, blue] = (/^#(..)(..)(..)/.exec(brush.fillStyle) ?? ["", "88", "88", "88"]).slice(1).map((part) => parseInt(part, 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

Object.assign(Card.prototype, {
  // Where each channel's bar lies: rows of bars at least five pixels wide.
  stripPlan(wide) {
    const count = this.cache.gates.length;
    const rows = Math.ceil(count / Math.max(1, Math.min(count, Math.floor(wide / 5))));
    const perRow = Math.ceil(count / rows);
    const tall = rows === 1 ? 84 : rows <= 3 ? 52 : 30;
    return { count, rows, perRow, step: wide / perRow, tall, height: rows * (tall + STRIP_GAP) };
  },

  stripOrder() {
    const { gates } = this.cache;
    if (!this.viewer.state.sorted) return null;
    this.cache.order ??= Array.from(gates, (_, channel) => channel).sort((a, b) => gates[b] - gates[a]);
    return this.cache.order;
  },

  drawStrip() {
    const { gates } = this.cache;
    this.strip.hidden = !gates;
    if (!gates || !this.sideWidth) return;
    const key = `${this.stripLook()}:${this.sideWidth}:${this.markedChannel()}`;
    if (this.stripKey === key) return;
    this.stripKey = key;
    const plan = this.stripPlan(this.sideWidth);
    const height = `${plan.height}px`;
    if (this.strip.style.height !== height) this.strip.style.height = height;
    const { brush, wide } = this.surface(this.strip, this.sideWidth, plan.height);
    this.paintStrip(brush, wide, this.strip.width / wide);
  },

  // All that the bars themselves depend on, but for their size.
  stripLook() {
    const { state, look } = this.viewer;
    return `${this.cache.key}:${this.bend}:${this.ends}:${state.colours}:${state.sorted}:${look}`;
  },

  // Draws the strip `wide` logical pixels wide, `ratio` device pixels each.
  paintStrip(brush, wide, ratio) {
    const plan = this.stripPlan(wide);
    const { theme } = this.viewer;
    const order = this.stripOrder();
    const marked = this.markedChannel();
    const half = marked === null ? 0 : Math.floor(this.layer.window / 2);
    for (let row = 0; row < plan.rows; row++) {
      const bottom = row * (plan.tall + STRIP_GAP) + plan.tall;
      brush.fillStyle = theme.border;
      brush.fillRect(0, bottom, wide, 1);
      brush.globalAlpha = 0.5;
      brush.fillRect(0, bottom - plan.tall / 2, wide, 0.5);
      brush.globalAlpha = 1;
    }
    const placeOf = (channel) => {
      const place = order ? order.indexOf(channel) : channel;
      const row = Math.floor(place / plan.perRow);
      return [(place - row * plan.perRow) * plan.step, row * (plan.tall + STRIP_GAP)];
    };
    if (half) {
      // the channels whose means decide the marked gate
      brush.fillStyle = theme.window;
      for (let channel = Math.max(0, marked - half); channel <= Math.min(plan.count - 1, marked + half); channel++) {
        brush.fillRect(...placeOf(channel), plan.step, plan.tall);
      }
    }
    brush.imageSmoothingEnabled = false;
    brush.drawImage(this.paintBars(plan, wide, ratio, order), 0, 0, wide, plan.height);
    if (marked === null) return;
    const [x, y] = placeOf(marked);
    brush.lineWidth = 1.5;
    brush.strokeStyle = theme.text;
    brush.strokeRect(x + 0.5, y + 0.5, plan.step - 1, plan.tall);
  },

  // The bars alone, on a canvas that is kept while they stay as they are.
  paintBars(plan, wide, ratio, order) {
    const width = Math.round(wide * ratio);
    const height = Math.round(plan.height * ratio);
    const key = `${this.stripLook()}:${width}:${height}`;
    if (this.barsKey === key) return this.barsCanvas;
    this.barsKey = key;
    this.barsCanvas ??= document.createElement("canvas");
    const ink = this.barsCanvas.getContext("2d");
    if (this.barsCanvas.width !== width || this.barsCanvas.height !== height) {
      Object.assign(this.barsCanvas, { width, height });
      this.barsPixels = ink.createImageData(width, height);
    }
    const { gates } = this.cache;
    const { pixels } = palette(this.viewer.state.colours);
    const out = new Uint32Array(this.barsPixels.data.buffer);
    const hidden = packed(ink, this.viewer.theme.hidden);
    const [low, high] = this.ends;
    const inset = plan.step > 4 ? 0.5 : 0;
    out.fill(0);
    for (let place = 0; place < plan.count; place++) {
      const row = Math.floor(place / plan.perRow);
      const gate = gates[order ? order[place] : place];
      const share = high > low ? Math.min(Math.max((gate - low) / (high - low), 0), 1) : 0;
      const index = this.index[Math.round(share * 255)];
      const colour = index < 0 ? hidden : pixels[index];
      const left = (place - row * plan.perRow) * plan.step;
      const bottom = row * (plan.tall + STRIP_GAP) + plan.tall;
      const from = Math.round((left + inset) * ratio);
      const to = Math.min(Math.max(Math.round((left + plan.step - inset) * ratio), from + 1), width);
      const end = Math.min(Math.round(bottom * ratio), height);
      for (let y = Math.round((bottom - Math.max(1.5, share * plan.tall)) * ratio); y < end; y++) {
        for (let at = y * width + from; at < y * width + to; at++) out[at] = colour;
      }
    }
    ink.putImageData(this.barsPixels, 0, 0);
    return this.barsCanvas;
  },

  // The channel under the pointer, else the one that is picked.
  markedChannel() {
    const { channel } = this.viewer.state;
    const marked = this.viewer.hoverChannel ?? (this.layer?.kind === "element" ? channel : null);
    return marked === null ? null : Math.min(marked, this.cache.gates.length - 1);
  },

  channelAt(x, y) {
    if (!this.cache.gates) return null;
    const plan = this.stripPlan(this.sideWidth);
    const row = Math.min(Math.max(Math.floor(y / (plan.tall + STRIP_GAP)), 0), plan.rows - 1);
    const slot = Math.min(Math.max(Math.floor(x / plan.step), 0), plan.perRow - 1);
    const place = Math.min(row * plan.perRow + slot, plan.count - 1);
    const order = this.stripOrder();
    return order ? order[place] : place;
  },

  // The next channel in the order they are shown.
  channelBeside(channel, by) {
    const order = this.stripOrder();
    const count = this.cache.gates.length;
    const place = order ? order.indexOf(channel) : channel;
    const next = Math.min(Math.max(place + by, 0), count - 1);
    return order ? order[next] : next;
  },
});
