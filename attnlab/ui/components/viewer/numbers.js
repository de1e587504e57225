// A part of the attention viewer: the numbers of a card, as colour bar, facts, prediction, read-out.

const LEGEND_HEIGHT = 34; // as in the style sheet

Object.assign(Card.prototype, {
  // ---- colour bar ---------------------------------------------------------------------------------------------------

  drawLegend() {
    const { layer } = this;
    this.legendBox.hidden = !layer;
    if (!layer) return;
    const { state, look } = this.viewer;
    this.movePointer();
    this.offerStretch();
    const entropies = !!this.field?.entropy;
    const ticks = `${layer.name}:${entropies}:${this.sideWidth}:${this.ends}:${state.scope}:${look}`;
    const key = `${ticks}:${this.bend}:${state.colours}`;
    if (this.legendKey === key) return;
    this.legendKey = key;
    const onlyColours = this.ticksKey === ticks; // text is the slow part
    this.ticksKey = ticks;
    if (onlyColours) {
      this.paintRamp(this.legend.getContext("2d"), this.sideWidth);
      return;
    }
    const surface = this.surface(this.legend, this.sideWidth, LEGEND_HEIGHT);
    if (!surface) return;
    this.paintRamp(surface.brush, surface.wide);
    this.paintTicks(surface.brush, surface.wide);
    const words = scaleWords(state.scope, layer, this.field, this.ends);
    this.legendWords.textContent = words;
    this.legend.setAttribute("aria-label", `Colour bar from ${this.ends.map(formatNumber).join(" to ")}: ${words}`);
  },

  paintRamp(brush, wide) {
    const { theme } = this.viewer;
    const [left, span, top, tall] = [1, wide - 2, 6, 10];
    brush.fillStyle = theme.faint;
    brush.fillRect(left, top, span, tall);
    brush.imageSmoothingEnabled = false;
    brush.drawImage(this.ramp(), left, top, span, tall);
    brush.lineWidth = 1;
    brush.strokeStyle = theme.border;
    brush.strokeRect(left - 0.5, top - 0.5, span + 1, tall + 1);
  },

  paintTicks(brush, wide) {
    const { state, theme } = this.viewer;
    const [low, high] = this.ends;
    const saturates = state.scope === "absolute" && high === SOFTMAX_TOP;
    brush.font = `11px ${theme.font}`;
    brush.fillStyle = theme.text;
    const ticks = wide < 240 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
    for (const share of ticks) {
      const x = 1 + share * (wide - 2);
      brush.globalAlpha = 0.55;
      brush.fillRect(Math.min(x, wide - 1), 16, 1, 4);
      brush.globalAlpha = 0.85;
      brush.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      const text = formatNumber(low + share * (high - low));
      brush.fillText(saturates && share === 1 ? `≥ ${text}` : text, x, 31);
    }
    brush.globalAlpha = 1;
    brush.textAlign = "left";
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
      this.facts.textContent = "No map of this network can be shown whole; only its prediction is.";
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
