// Loss and accuracy of several runs while they train.
//
// Python sends only the rows that are new (`since` says how many came before); rows are appended here, so zoom,
// smoothing and hidden runs stay as they are. When a message was lost the component asks for everything again.
// Lines: thin and faint is the loss of every step, bold its debiased moving average; dots are validation.

const STATE = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let view = STATE.get(parentElement);
  if (!view) {
    view = new Curves(parentElement);
    STATE.set(parentElement, view);
  }
  view.palette = data.palette;
  view.sync = data.sync;
  if (!view.take(data.runs)) setTriggerValue("resync", Date.now());
  view.schedule();
  return () => {
    view.destroy();
    STATE.delete(parentElement);
  };
}

class Curves {
  constructor(root) {
    this.root = root.querySelector(".curves");
    this.runs = new Map();
    this.hidden = new Set();
    this.weight = 0.8;
    this.log = false;
    this.byEpoch = false;
    this.zoom = null; // [low, high] in the unit of the axis
    this.hover = null;
    this.drag = null;
    this.mark = null; // a step that another view of the run points at
    this.frame = 0;
    this.find = (selector) => this.root.querySelector(selector);
    this.tip = this.find(".tip");
    this.panels = [...this.root.querySelectorAll("canvas")].map((canvas, index) => ({
      canvas,
      metric: index === 0 ? "loss" : "accuracy",
    }));
    this.listen();
    this.abort = new AbortController();
    document.addEventListener("attnlab:step", (event) => this.onStep(event.detail), { signal: this.abort.signal });
    this.observer = new ResizeObserver(() => this.schedule());
    this.panels.forEach((panel) => this.observer.observe(panel.canvas));
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.abort.abort();
  }

  // The viewer of the same run has moved to another step of the training.
  onStep({ group, source, step }) {
    if (!this.sync || group !== this.sync || source === this) return;
    this.mark = step;
    this.schedule();
  }

  // The pointer is at a step: the viewer of the same run follows.
  tellStep(run, x) {
    if (!this.sync || !run) return;
    const step = Math.round(x / this.unit(run));
    this.mark = null;
    document.dispatchEvent(new CustomEvent("attnlab:step", { detail: { group: this.sync, source: this, step } }));
  }

  schedule() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  // Appends what is new. False when rows are missing.
  take(runs) {
    let complete = true;
    const seen = new Set();
    for (const run of runs) {
      seen.add(run.id);
      let mine = this.runs.get(run.id);
      if (!mine || run.attempt !== mine.attempt) {
        mine = { attempt: run.attempt, step: [], loss: [], epochs: [] };
        this.runs.set(run.id, mine);
      }
      mine.label = run.label;
      mine.colour = run.colour;
      mine.dash = DASHES[(run.sibling + Math.floor(run.colour / this.palette.length)) % DASHES.length];
      mine.perEpoch = run.steps_per_epoch || 0;
      if (run.since > mine.step.length || run.epochs_since > mine.epochs.length) {
        complete = false;
        continue;
      }
      mine.step.length = mine.loss.length = run.since;
      mine.epochs.length = run.epochs_since;
      for (let i = 0; i < run.step.length; i++) {
        mine.step.push(run.step[i]);
        mine.loss.push(run.loss[i]);
      }
      mine.epochs.push(...run.epochs);
      mine.smooth = null;
    }
    for (const id of [...this.runs.keys()]) if (!seen.has(id)) this.runs.delete(id);
    this.legend();
    return complete;
  }

  visible() {
    return [...this.runs.entries()].filter(([id]) => !this.hidden.has(id)).map(([, run]) => run);
  }

  colour(run) {
    return this.palette[run.colour % this.palette.length];
  }

  // Debiased exponential moving average: early values are not pulled towards zero.
  smoothed(run) {
    if (run.smooth && run.smoothWeight === this.weight) return run.smooth;
    const result = new Array(run.loss.length);
    let sum = 0;
    let mass = 0;
    for (let i = 0; i < run.loss.length; i++) {
      if (run.loss[i] === null) {
        result[i] = null;
        continue;
      }
      sum = this.weight * sum + (1 - this.weight) * run.loss[i];
      mass = this.weight * mass + (1 - this.weight);
      result[i] = sum / mass;
    }
    run.smooth = result;
    run.smoothWeight = this.weight;
    return result;
  }

  unit(run) {
    return this.byEpoch && run.perEpoch ? 1 / run.perEpoch : 1;
  }

  // The lines of one panel: {x, y, colour, width, alpha, dash, dots, name}.
  lines(metric) {
    const lines = [];
    for (const run of this.visible()) {
      const unit = this.unit(run);
      const colour = this.colour(run);
      const at = run.epochs.map((epoch) => epoch.step * unit);
      const epochs = (field) => run.epochs.map((epoch) => epoch[field]);
      const common = { colour, run, dash: run.dash };
      if (metric === "loss") {
        const x = run.step.map((step) => step * unit);
        if (this.weight > 0) lines.push({ ...common, x, y: run.loss, width: 1, alpha: 0.25 });
        lines.push({ ...common, x, y: this.smoothed(run), width: 1.8, alpha: 1, name: "train" });
        lines.push({ ...common, x: at, y: epochs("validation_loss"), width: 1.2, alpha: 0.9, dots: true, name: "validation" });
      } else {
        lines.push({ ...common, x: at, y: epochs("train_accuracy"), width: 1.2, alpha: 0.55, name: "train" });
        lines.push({ ...common, x: at, y: epochs("validation_accuracy"), width: 1.8, alpha: 1, dots: true, name: "validation" });
      }
    }
    return lines;
  }

  range() {
    if (this.zoom) return this.zoom;
    let high = 0;
    for (const run of this.visible()) {
      const last = Math.max(run.step.at(-1) ?? 0, run.epochs.at(-1)?.step ?? 0);
      high = Math.max(high, last * this.unit(run));
    }
    return [0, high || 1];
  }

  draw() {
    const style = getComputedStyle(this.root);
    this.ink = style.color;
    this.paper = style.getPropertyValue("--st-background-color") || "#fff";
    this.font = `11px ${style.fontFamily}`;
    this.grid = style.getPropertyValue("--st-border-color") || "#ccc";
    const filled = [...this.runs.values()].some((run) => run.step.length || run.epochs.length);
    const empty = this.find(".empty");
    empty.hidden = filled;
    empty.textContent = this.runs.size ? "Waiting for the first step." : "No run chosen.";
    this.find(".panels").hidden = !filled;
    this.find(".reset").disabled = !this.zoom;
    if (!filled) return;
    for (const panel of this.panels) this.drawPanel(panel);
  }

  drawPanel(panel) {
    const { canvas, metric } = panel;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const box = { x: MARGIN.left, y: MARGIN.top, w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
    const lines = this.lines(metric);
    const log = this.log && metric === "loss";
    const [x0, x1] = this.range();
    const [y0, y1] = extent(lines, x0, x1, log, metric);
    const scale = (value) => (log ? Math.log10(value) : value);
    const X = (x) => box.x + ((x - x0) / (x1 - x0)) * box.w;
    const Y = (y) => box.y + (1 - (scale(y) - scale(y0)) / (scale(y1) - scale(y0))) * box.h;
    Object.assign(panel, { box, lines, X, Y, x0, x1 });

    this.axes(g, panel, log ? logTicks(y0, y1) : ticks(y0, y1, 5), ticks(x0, x1, Math.max(2, Math.floor(box.w / 70))));
    g.save();
    g.beginPath();
    g.rect(box.x, box.y - 4, box.w + 4, box.h + 8);
    g.clip();
    for (const line of lines) stroke(g, line, X, Y, x0, x1, log, this.paper);
    g.restore();
    this.pointer(g, panel);
    const last = lines.filter((line) => line.name).map((line) => `${line.run.label} ${line.name} ${number(lastOf(line.y), metric)}`);
    canvas.setAttribute("aria-label", `${metric}: ${last.join(", ")}`);
  }

  axes(g, { box, X, Y, metric }, ys, xs) {
    g.font = this.font;
    g.lineWidth = 1;
    g.strokeStyle = this.grid;
    g.fillStyle = this.ink;
    g.textBaseline = "middle";
    g.textAlign = "right";
    for (const y of ys) {
      const at = Math.round(Y(y)) + 0.5;
      g.globalAlpha = 0.7;
      g.beginPath();
      g.moveTo(box.x, at);
      g.lineTo(box.x + box.w, at);
      g.stroke();
      g.globalAlpha = 0.75;
      g.fillText(metric === "accuracy" ? `${Math.round(y * 1000) / 10} %` : short(y), box.x - 6, at);
    }
    g.textBaseline = "top";
    g.textAlign = "center";
    for (const x of xs) g.fillText(short(x), X(x), box.y + box.h + 7);
    g.globalAlpha = 1;
  }

  pointer(g, { box, X }) {
    if (this.drag) {
      const from = clamp(X(this.drag.from), box.x, box.x + box.w);
      const to = clamp(X(this.drag.to), box.x, box.x + box.w);
      g.globalAlpha = 0.12;
      g.fillStyle = this.ink;
      g.fillRect(Math.min(from, to), box.y, Math.abs(to - from), box.h);
      g.globalAlpha = 1;
    } else if (this.hover || this.mark !== null) {
      const run = this.visible()[0];
      const at = Math.round(X(this.hover ? this.hover.x : this.mark * (run ? this.unit(run) : 1))) + 0.5;
      if (at < box.x || at > box.x + box.w) return;
      g.globalAlpha = 0.4;
      g.strokeStyle = this.ink;
      g.beginPath();
      g.moveTo(at, box.y);
      g.lineTo(at, box.y + box.h);
      g.stroke();
      g.globalAlpha = 1;
    }
  }

  listen() {
    const slider = this.find("input");
    slider.addEventListener("input", () => {
      this.weight = Number(slider.value);
      this.find("output").textContent = this.weight.toFixed(2);
      this.schedule();
    });
    const log = this.find(".log");
    log.addEventListener("click", () => {
      this.log = !this.log;
      log.setAttribute("aria-pressed", String(this.log));
      this.schedule();
    });
    const axis = this.find(".axis");
    axis.addEventListener("click", () => {
      this.byEpoch = !this.byEpoch;
      axis.textContent = this.byEpoch ? "x: epoch" : "x: step";
      this.zoom = null;
      this.schedule();
    });
    this.find(".reset").addEventListener("click", () => this.unzoom());
    for (const panel of this.panels) this.listenTo(panel);
  }

  listenTo(panel) {
    const { canvas } = panel;
    const value = (event) => {
      const { left } = canvas.getBoundingClientRect();
      const share = (event.clientX - left - panel.box.x) / panel.box.w;
      return panel.x0 + clamp(share, 0, 1) * (panel.x1 - panel.x0);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!panel.box || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.drag = { from: value(event), to: value(event), start: event.clientX };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!panel.box) return;
      if (this.drag) this.drag.to = value(event);
      else {
        this.hover = { x: value(event), panel };
        this.tellStep(this.visible()[0], this.hover.x);
      }
      this.showTip(event);
      this.schedule();
    });
    canvas.addEventListener("pointerup", (event) => {
      const drag = this.drag;
      this.drag = null;
      if (drag && Math.abs(event.clientX - drag.start) > 5) this.zoom = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
      this.schedule();
    });
    canvas.addEventListener("pointercancel", () => {
      this.drag = null;
      this.schedule();
    });
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.tip.hidden = true;
      this.schedule();
    });
    canvas.addEventListener("dblclick", () => this.unzoom());
  }

  unzoom() {
    this.zoom = null;
    this.schedule();
  }

  showTip(event) {
    const { hover, tip } = this;
    tip.hidden = !hover || Boolean(this.drag);
    if (tip.hidden) return;
    const { lines, metric } = hover.panel;
    const rows = lines.filter((line) => line.name && line.x.length).map((line) => ({ line, i: nearest(line.x, hover.x) }));
    const unit = this.byEpoch ? "epoch" : "step";
    const head = document.createElement("div");
    head.textContent = `${unit} ${short(this.byEpoch ? Math.round(hover.x * 100) / 100 : Math.round(hover.x))}`;
    const many = this.runs.size > 1;
    const shown = rows.slice(0, 8).map(({ line, i }) => {
      const row = document.createElement("div");
      const dot = document.createElement("b");
      dot.style.background = line.colour;
      dot.style.opacity = line.alpha;
      row.append(dot, `${number(line.y[i], metric)} ${line.name}${many ? ` · ${line.run.label}` : ""}`);
      return row;
    });
    if (rows.length > shown.length) {
      const more = document.createElement("div");
      more.textContent = `and ${rows.length - shown.length} more`;
      shown.push(more);
    }
    tip.replaceChildren(head, ...shown);
    const frame = this.root.getBoundingClientRect();
    const left = event.clientX - frame.left;
    const flip = left > frame.width / 2;
    tip.style.left = flip ? "auto" : `${left + 14}px`;
    tip.style.right = flip ? `${frame.width - left + 14}px` : "auto";
    tip.style.top = `${event.clientY - frame.top + 12}px`;
  }

  legend() {
    const box = this.find(".legend");
    const entries = [...this.runs.entries()];
    const signature = JSON.stringify([entries.map(([id, run]) => [id, run.label, run.colour, run.dash]), [...this.hidden], this.palette]);
    if (signature === this.legendSignature) return;
    this.legendSignature = signature;
    const buttons = entries.map(([id, run]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!this.hidden.has(id)));
      const mark = document.createElement("i");
      mark.style.background = stripes(this.colour(run), run.dash);
      const label = document.createElement("span");
      label.textContent = run.label;
      button.append(mark, label);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(id)) this.hidden.add(id);
        this.legend();
        this.schedule();
      });
      button.addEventListener("dblclick", () => {
        this.hidden = new Set([...this.runs.keys()].filter((other) => other !== id));
        this.legend();
        this.schedule();
      });
      return button;
    });
    box.replaceChildren(...buttons);
  }
}
