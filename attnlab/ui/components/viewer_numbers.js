// Part 4 of the attention viewer: the numbers of a card. Channel strip, colour bar, facts, prediction, read-out.

const STRIP_GAP = 7;
const LEGEND_HEIGHT = 34; // as in the style sheet

Object.assign(Card.prototype, {
  // ---- channel strip ------------------------------------------------------------------------------------------------

  // Where each channel's bar lies: rows of bars at least five pixels wide.
  stripPlan(wide) {
    const count = this.cache.gates.length;
    const rows = Math.ceil(count / Math.max(1, Math.min(count, Math.floor(wide / 5))));
    const perRow = Math.ceil(count / rows);
    const tall = rows === 1 ? 84 : rows <= 3 ? 52 : 30;
    return { count, rows, perRow, step: wide / perRow, tall };
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
    const { viewer } = this;
    const look = `${this.bend}:${this.ends}:${viewer.state.colours}:${viewer.state.sorted}:${viewer.look}`;
    const key = `${this.cache.key}:${this.sideWidth}:${this.markedChannel()}:${look}`;
    if (this.stripKey === key) return;
    this.stripKey = key;
    const plan = this.stripPlan(this.sideWidth);
    const height = plan.rows * (plan.tall + STRIP_GAP);
    const surface = this.surface(this.strip, this.sideWidth, height);
    this.strip.style.height = `${height}px`;
    const { brush, wide } = surface;
    const { state, theme } = this.viewer;
    const { css } = palette(state.colours);
    const [low, high] = this.ends;
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
      for (let slot = 0; slot < plan.perRow; slot++) {
        const place = row * plan.perRow + slot;
        if (place >= plan.count) break;
        const channel = order ? order[place] : place;
        const share = high > low ? Math.min(Math.max((gates[channel] - low) / (high - low), 0), 1) : 0;
        const index = this.index[Math.round(share * 255)];
        const x = slot * plan.step;
        if (half && Math.abs(channel - marked) <= half) {
          brush.fillStyle = theme.faint;
          brush.fillRect(x, bottom - plan.tall, plan.step, plan.tall);
        }
        brush.fillStyle = index < 0 ? theme.hidden : css[index];
        const height = Math.max(1.5, share * plan.tall);
        const inset = plan.step > 4 ? 0.5 : 0;
        brush.fillRect(x + inset, bottom - height, plan.step - 2 * inset, height);
        if (channel === marked) {
          brush.lineWidth = 1.5;
          brush.strokeStyle = theme.text;
          brush.strokeRect(x + 0.5, bottom - plan.tall + 0.5, plan.step - 1, plan.tall);
        }
      }
    }
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

  // ---- colour bar ---------------------------------------------------------------------------------------------------

  drawLegend() {
    const { layer } = this;
    this.legendBox.hidden = !layer;
    if (!layer) return;
    const { state, theme, look } = this.viewer;
    this.movePointer();
    this.offerStretch();
    const entropies = !!this.field?.entropy;
    const key = `${layer.name}:${entropies}:${this.sideWidth}:${this.bend}:${this.ends}:${state.colours}:${state.scope}:${look}`;
    if (this.legendKey === key) return;
    const surface = this.surface(this.legend, this.sideWidth, LEGEND_HEIGHT);
    if (!surface) return;
    this.legendKey = key;
    const { brush, wide } = surface;
    const [low, high] = this.ends;
    const [left, span, top, tall] = [1, wide - 2, 6, 10];
    brush.fillStyle = theme.faint;
    brush.fillRect(left, top, span, tall);
    brush.imageSmoothingEnabled = false;
    brush.drawImage(this.ramp(), left, top, span, tall);
    brush.lineWidth = 1;
    brush.strokeStyle = theme.border;
    brush.strokeRect(left - 0.5, top - 0.5, span + 1, tall + 1);
    const words = scaleWords(state.scope, layer, this.field, this.ends);
    this.legendWords.textContent = words;
    this.legend.setAttribute("aria-label", `Colour bar from ${formatNumber(low)} to ${formatNumber(high)}: ${words}`);
    const saturates = state.scope === "absolute" && high === SOFTMAX_TOP;
    brush.font = `11px ${theme.font}`;
    brush.fillStyle = theme.text;
    const ticks = wide < 240 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
    for (const share of ticks) {
      const x = left + share * span;
      brush.globalAlpha = 0.55;
      brush.fillRect(Math.min(x, wide - 1), top + tall, 1, 4);
      brush.globalAlpha = 0.85;
      brush.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      const text = formatNumber(low + share * (high - low));
      brush.fillText(saturates && share === 1 ? `≥ ${text}` : text, x, top + tall + 15);
    }
    brush.globalAlpha = 1;
  },

  // Where the value that is pointed at lies on the colour bar.
  movePointer() {
    const value = this.pointedValue();
    const [low, high] = this.ends;
    this.pointer.hidden = value === null || !(high > low);
    if (this.pointer.hidden) return;
    const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    this.pointer.style.transform = `translateX(${(1 + share * (this.sideWidth - 2)).toFixed(1)}px)`;
  },

  // The 256 colours in a row, nothing where weights are hidden.
  ramp() {
    const { colours } = this.viewer.state;
    const key = `${colours}:${this.bend}`;
    if (this.rampKey !== key) {
      this.rampKey = key;
      this.rampCanvas ??= Object.assign(document.createElement("canvas"), { width: 256, height: 1 });
      const { pixels } = palette(colours);
      const row = Uint32Array.from(this.index, (index) => (index < 0 ? 0 : pixels[index]));
      this.rampCanvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(row.buffer), 256, 1), 0, 0);
    }
    return this.rampCanvas;
  },

  // On the fixed scale an almost even map is one flat colour. That is the truth; how to see more is offered beside it.
  offerStretch() {
    const [low, high] = this.ends;
    const [least, most] = this.extent();
    const used = (Math.min(most, high) - least) / (high - low);
    const even = this.viewer.state.scope === "absolute" && used < 0.15;
    const words = even ? `Nearly even, ${formatNumber(least)} to ${formatNumber(most)}: stretch the colours` : "";
    if (this.stretch.textContent === words) return;
    this.stretch.textContent = words;
    this.stretch.hidden = !even;
  },

  extent() {
    return (this.cache.extent ??= extent(this.values));
  },

  // ---- words --------------------------------------------------------------------------------------------------------

  // The shown value under the cross-hair or of the marked channel; null when nothing is pointed at.
  pointedValue() {
    if (!this.layer) return null;
    if (this.viewer.hoverChannel !== null && this.cache.gates) return this.cache.gates[this.markedChannel()];
    if (!this.viewer.cursor || !this.field) return null;
    return this.values[cellAt([this.field.height, this.field.width], this.viewer.cursor).index];
  },

  readoutWords() {
    const { layer, field, viewer } = this;
    if (!layer) return "";
    if (viewer.hoverChannel !== null && this.cache.gates) {
      const channel = this.markedChannel();
      const value = this.cache.gates[channel];
      const rank = this.cache.gates.reduce((count, gate) => count + (gate > value), 1);
      const words = valueWords(layer, null, value, this.precision());
      const what = layer.kind === "element" ? `mean ${words}` : words;
      const seen = layer.features ? `; its features, ${this.featureEnds(channel)}` : "";
      return `channel ${channel} of ${this.cache.gates.length} · ${what} · rank ${rank}${seen}`;
    }
    if (!viewer.cursor || !field) return "";
    const cell = cellAt([field.height, field.width], viewer.cursor);
    return `row ${cell.row}, column ${cell.column} · ${valueWords(layer, field, this.values[cell.index], this.precision())}`;
  },

  featureEnds(channel) {
    const { floor, peak } = this.layer.features;
    return `black ${formatNumber(floor[channel])} to white ${formatNumber(peak[channel])}`;
  },

  precision() {
    const { layer, field } = this;
    const rows = layer.kind === "pairwise" && this.viewer.state.pair === "row" ? field.queries : null;
    return (this.cache.precision ??= precisionOf(layer, layer.moments > 1 ? this.moment : 0, rows));
  },

  writeReadout() {
    const words = this.readoutWords();
    if (this.readout.textContent !== words) this.readout.textContent = words;
  },

  writeFacts() {
    const { layer, panel, field, viewer } = this;
    const key = `${this.cache.key}`;
    if (this.factsKey === key && layer) return;
    this.factsKey = key;
    const parts = [this.fixedLayer ? panel.title : "", panel.subtitle, layer && viewer.manyLayers && !this.fixedLayer ? layer.title : ""];
    this.subtitle.textContent = parts.filter(Boolean).join(" · ");
    this.subtitle.hidden = !this.subtitle.textContent;
    if (!layer) {
      this.facts.textContent = "This network has no attention; only its prediction is shown.";
      return;
    }
    const { values } = this;
    const [low, high] = this.extent();
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const facts = [`min ${formatNumber(low)}`, `mean ${formatNumber(mean)}`, `max ${formatNumber(high)}`];
    if (layer.scale === "softmax" && !field?.entropy) facts.push(`entropy ${formatNumber(entropy(values))}`);
    if (panel.mask && field && !field.entropy) {
      const inside = weightInside(values, field.height, field.width, panel.mask, panel.height, panel.width);
      if (inside.area > 0) facts.push(`weight on the object ${formatNumber(inside.weight / inside.area)} × uniform`);
    }
    this.facts.textContent = facts.join(" · ");
    if (layer.note) this.facts.append(element("span", "note", ` ${layer.note}`));
    const odds = panel.probabilities.length ? `; predicted ${this.predictedWords()}` : "";
    this.stage.setAttribute("aria-label", `${panel.title}: ${layer.title}, ${KIND_WORDS[layer.kind]}; ${facts.join(", ")}${odds}`);
  },

  predictedWords() {
    const row = this.oddsRow();
    const best = row.indexOf(Math.max(...row));
    return `${this.panel.classes[best]} ${(100 * row[best]).toFixed(0)} %`;
  },

  oddsRow() {
    const { probabilities } = this.panel;
    return probabilities[probabilities.length > 1 ? this.moment : 0];
  },

  writeOdds() {
    if (!this.bars.length) return;
    const row = this.oddsRow();
    if (this.oddsShown === row) return;
    this.oddsShown = row;
    const best = row.indexOf(Math.max(...row));
    for (const bar of this.bars) {
      const share = row[bar.index];
      bar.fill.style.width = `${(100 * share).toFixed(1)}%`;
      bar.number.textContent = `${(100 * share).toFixed(share >= 0.0995 || share < 0.0005 ? 0 : 1)} %`;
      bar.row.classList.toggle("best", bar.index === best);
    }
  },
});
