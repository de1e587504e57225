// @ts-check
// Loss and accuracy of several runs while they train.
//
// Python sends only the rows that are new (`since` says how many came before); rows are appended here, so zoom,
// smoothing and hidden runs stay as they are. When a message was lost the component asks for everything again.
// Lines: thin and faint is the loss of every step, bold its debiased moving average; dots are validation.
import { sharpContext } from "../lib/canvas.js";
import { button, element, find, setPressed } from "../lib/dom.js";
import { clamp } from "../lib/grid.js";
import { Latest } from "../lib/latest.js";
import { mounted } from "../lib/mount.js";
import { hearSteps, tellStep } from "../lib/training_step.js";
import { History } from "./history.js";
import { DASHES, drawable, formatValue, logTicks, nearest, reduced, short, smoothed, stripes, ticks, valueRange } from "./scales.js";

/** @import { Call } from "../lib/mount.js" */
/** @import { Epoch, RunRows } from "./history.js" */
/** @import { Line, Metric, Range } from "./scales.js" */

const MARGIN = { left: 46, right: 10, top: 8, bottom: 22 };
const SHORTEST_ZOOM = 5; // pixels
const MOST_IN_TIP = 8;

/** @typedef {{ palette: string[], sync: string, runs: RunRows[] }} CurvesData */
/** @typedef {{ label: string, colour: string, dash: number[], perEpoch: number, tested: number | null, history: History, smooth: Latest<(number | null)[]> }} Run */

/**
 * @typedef {object} Plot a chart as it was drawn last
 * @property {{ x: number, y: number, w: number, h: number }} box inside the axes
 * @property {Line[]} lines
 * @property {Range} across
 * @property {(x: number) => number} toX
 * @property {(y: number) => number} toY
 */

/** @typedef {{ canvas: HTMLCanvasElement, metric: Metric, plot: Plot | null }} Panel */

class Curves {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {string[]} */
    this.palette = [];
    this.sync = "";
    /** @type {Map<string, Run>} by id */
    this.runs = new Map();
    /** @type {Set<string>} ids */
    this.hidden = new Set();
    this.weight = 0.8;
    this.log = false;
    this.byEpoch = false;
    /** @type {Range | null} in the unit of the axis */
    this.zoom = null;
    /** @type {{ x: number, panel: Panel } | null} */
    this.hover = null;
    /** @type {{ from: number, to: number, start: number } | null} */
    this.drag = null;
    /** @type {number | null} a step that another view of the run points at */
    this.mark = null;
    this.frame = 0;
    this.legendKey = "";
    this.theme = { text: "", background: "", border: "", font: "" };

    this.legend = find(root, ".legend", HTMLElement);
    this.empty = find(root, ".empty", HTMLElement);
    this.charts = find(root, ".panels", HTMLElement);
    this.reset = find(root, ".reset", HTMLButtonElement);
    this.tip = find(root, ".tip", HTMLElement);
    const [loss, accuracy] = root.querySelectorAll("canvas");
    /** @type {Panel[]} */
    this.panels = [
      { canvas: loss, metric: "loss", plot: null },
      { canvas: accuracy, metric: "accuracy", plot: null },
    ];
    this.listen();
    this.abort = new AbortController();
    hearSteps(this, () => this.sync, (step) => this.follow(step), this.abort.signal);
    this.observer = new ResizeObserver(() => this.schedule());
    this.panels.forEach((panel) => this.observer.observe(panel.canvas));
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.abort.abort();
  }

  /**
   * The viewer of the same run has moved to another step.
   * @param {number} step
   */
  follow(step) {
    this.mark = step;
    this.schedule();
  }

  /**
   * The pointer is at a step: the viewer of the same run follows.
   * @param {number} x
   */
  lead(x) {
    const [run] = this.visible();
    if (!this.sync || !run) return;
    this.mark = null;
    tellStep(this, this.sync, Math.round(x / this.unit(run)));
  }

  schedule() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  // ---- runs -------------------------------------------------------------------------------------------------------

  /**
   * @param {CurvesData} data
   * @returns whether no rows are missing
   */
  load({ palette, sync, runs }) {
    this.palette = palette;
    this.sync = sync;
    const complete = runs.map((rows) => this.take(rows));
    const ids = new Set(runs.map(({ id }) => id));
    for (const id of [...this.runs.keys()]) if (!ids.has(id)) this.runs.delete(id);
    this.drawLegend();
    this.schedule();
    return complete.every(Boolean);
  }

  /**
   * @param {RunRows} rows
   * @returns whether none are missing
   */
  take(rows) {
    const { palette } = this;
    let history = this.runs.get(rows.id)?.history;
    if (history?.attempt !== rows.attempt) history = new History(rows.attempt);
    const complete = history.append(rows);
    this.runs.set(rows.id, {
      label: rows.label,
      colour: palette[rows.colour % palette.length],
      dash: DASHES[(rows.sibling + Math.floor(rows.colour / palette.length)) % DASHES.length],
      perEpoch: rows.steps_per_epoch || 0,
      tested: rows.tested,
      history,
      smooth: new Latest(),
    });
    return complete;
  }

  visible() {
    return [...this.runs.entries()].filter(([id]) => !this.hidden.has(id)).map(([, run]) => run);
  }

  /**
   * Factor from steps to the unit of the axis.
   * @param {Run} run
   */
  unit({ perEpoch }) {
    return this.byEpoch && perEpoch ? 1 / perEpoch : 1;
  }

  /**
   * The lines of one panel.
   * @param {Metric} metric
   * @returns {Line[]}
   */
  lines(metric) {
    return this.visible().flatMap((run) => {
      const { label, colour, dash, history, smooth } = run;
      const unit = this.unit(run);
      const common = { label, colour, dash, tested: run.tested === null ? null : run.tested * unit };
      const epochs = (/** @type {keyof Epoch} */ field) => ({
        ...common,
        x: history.epochs.map((epoch) => epoch.step * unit),
        y: history.epochs.map((epoch) => epoch[field]),
      });
      if (metric === "accuracy") {
        return [
          { ...epochs("train_accuracy"), width: 1.2, alpha: 0.55, name: "train" },
          { ...epochs("validation_accuracy"), width: 1.8, alpha: 1, dots: true, name: "validation" },
        ];
      }
      const x = history.step.map((step) => step * unit);
      const average = smooth.get(String(this.weight), () => smoothed(history.loss, this.weight));
      return [
        ...(this.weight > 0 ? [{ ...common, x, y: history.loss, width: 1, alpha: 0.25 }] : []),
        { ...common, x, y: average, width: 1.8, alpha: 1, name: "train" },
        { ...epochs("validation_loss"), width: 1.2, alpha: 0.9, dots: true, name: "validation" },
      ];
    });
  }

  /** @returns {Range} of the horizontal axis */
  across() {
    const lasts = this.visible().map((run) => run.history.lastStep * this.unit(run));
    return this.zoom ?? [0, Math.max(0, ...lasts) || 1];
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  draw() {
    const style = getComputedStyle(this.root);
    this.theme = {
      text: style.color,
      background: style.getPropertyValue("--st-background-color") || "#fff",
      border: style.getPropertyValue("--st-border-color") || "#ccc",
      font: `11px ${style.fontFamily}`,
    };
    const filled = [...this.runs.values()].some(({ history }) => history.step.length || history.epochs.length);
    this.empty.hidden = filled;
    this.empty.textContent = this.runs.size ? "No measurements yet." : "No run selected.";
    this.charts.hidden = !filled;
    this.reset.disabled = !this.zoom;
    if (filled) for (const panel of this.panels) this.drawPanel(panel);
  }

  /** @param {Panel} panel */
  drawPanel(panel) {
    const { canvas, metric } = panel;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const context = sharpContext(canvas, width, height);
    const box = { x: MARGIN.left, y: MARGIN.top, w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
    const lines = this.lines(metric);
    const log = this.log && metric === "loss";
    const across = this.across();
    const [y0, y1] = valueRange(lines, across, log, metric);
    const scale = (/** @type {number} */ value) => (log ? Math.log10(value) : value);
    const toX = (/** @type {number} */ x) => box.x + ((x - across[0]) / (across[1] - across[0])) * box.w;
    const toY = (/** @type {number} */ y) => box.y + (1 - (scale(y) - scale(y0)) / (scale(y1) - scale(y0))) * box.h;
    const plot = { box, lines, across, toX, toY };
    panel.plot = plot;

    const label = metric === "accuracy" ? (/** @type {number} */ y) => `${Math.round(y * 1000) / 10}%` : short;
    this.drawAxes(context, plot, log ? logTicks(y0, y1) : ticks(y0, y1, 5), label);
    context.save();
    context.beginPath();
    context.rect(box.x, box.y - 4, box.w + 4, box.h + 8);
    context.clip();
    for (const line of lines) this.drawLine(context, plot, line, log);
    context.restore();
    this.drawPointer(context, plot);
    const last = lines.filter(({ name }) => name).map(({ label, name, y }) => `${label} ${name} ${formatValue(y.at(-1), metric)}`);
    canvas.setAttribute("aria-label", `${metric}: ${last.join(", ")}`);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Plot} plot
   * @param {number[]} values ticks of the vertical axis
   * @param {(value: number) => string} label
   */
  drawAxes(context, { box, across, toX, toY }, values, label) {
    context.font = this.theme.font;
    context.lineWidth = 1;
    context.strokeStyle = this.theme.border;
    context.fillStyle = this.theme.text;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of values) {
      const at = Math.round(toY(value)) + 0.5;
      context.globalAlpha = 0.7;
      context.beginPath();
      context.moveTo(box.x, at);
      context.lineTo(box.x + box.w, at);
      context.stroke();
      context.globalAlpha = 0.75;
      context.fillText(label(value), box.x - 6, at);
    }
    context.textBaseline = "top";
    context.textAlign = "center";
    for (const x of ticks(...across, Math.max(2, Math.floor(box.w / 70)))) context.fillText(short(x), toX(x), box.y + box.h + 7);
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Plot} plot
   * @param {Line} line
   * @param {boolean} log
   */
  drawLine(context, { across, toX, toY }, line, log) {
    context.globalAlpha = line.alpha;
    context.strokeStyle = line.colour;
    context.lineWidth = line.width;
    context.lineJoin = "round";
    context.setLineDash(line.dash);
    context.beginPath();
    for (const [first, ...others] of reduced(line, toX, across, log)) {
      context.moveTo(first[0], toY(first[1]));
      for (const [at, value] of others) context.lineTo(at, toY(value));
    }
    context.stroke();
    context.setLineDash([]);
    if (line.dots) {
      context.fillStyle = this.theme.background;
      line.x.forEach((x, i) => {
        const value = drawable(line.y[i], log);
        if (value === null || x < across[0] || x > across[1]) return;
        context.beginPath();
        const tested = line.tested !== null && Math.abs(x - line.tested) < 1e-9;
        context.arc(toX(x), toY(value), tested ? 4.5 : 2.6, 0, 7);
        if (tested) context.fillStyle = line.colour;
        context.fill();
        context.fillStyle = this.theme.background;
        context.stroke();
      });
    }
    context.globalAlpha = 1;
  }

  /**
   * The range that is being dragged, or the step that is pointed at.
   * @param {CanvasRenderingContext2D} context
   * @param {Plot} plot
   */
  drawPointer(context, { box, toX }) {
    const right = box.x + box.w;
    if (this.drag) {
      const [from, to] = [this.drag.from, this.drag.to].map((x) => clamp(toX(x), box.x, right));
      context.globalAlpha = 0.12;
      context.fillStyle = this.theme.text;
      context.fillRect(Math.min(from, to), box.y, Math.abs(to - from), box.h);
      context.globalAlpha = 1;
      return;
    }
    const [run] = this.visible();
    const pointed = this.hover?.x ?? (this.mark === null ? null : this.mark * (run ? this.unit(run) : 1));
    if (pointed === null) return;
    const at = Math.round(toX(pointed)) + 0.5;
    if (at < box.x || at > right) return;
    context.globalAlpha = 0.4;
    context.strokeStyle = this.theme.text;
    context.beginPath();
    context.moveTo(at, box.y);
    context.lineTo(at, box.y + box.h);
    context.stroke();
    context.globalAlpha = 1;
  }

  // ---- pointer and buttons ----------------------------------------------------------------------------------------

  listen() {
    const slider = find(this.root, "input", HTMLInputElement);
    const output = find(this.root, "output", HTMLElement);
    slider.addEventListener("input", () => {
      this.weight = Number(slider.value);
      output.textContent = this.weight.toFixed(2);
      this.schedule();
    });
    const log = find(this.root, ".log", HTMLElement);
    log.addEventListener("click", () => {
      this.log = !this.log;
      setPressed(log, this.log);
      this.schedule();
    });
    const axis = find(this.root, ".axis", HTMLElement);
    axis.addEventListener("click", () => {
      this.byEpoch = !this.byEpoch;
      axis.textContent = this.byEpoch ? "x: epoch" : "x: step";
      this.unzoom();
    });
    this.reset.addEventListener("click", () => this.unzoom());
    for (const panel of this.panels) this.listenTo(panel);
  }

  /** @param {Panel} panel */
  listenTo(panel) {
    const { canvas } = panel;
    const valueAt = (/** @type {PointerEvent} */ event, /** @type {Plot} */ { box, across: [x0, x1] }) => {
      const share = (event.clientX - canvas.getBoundingClientRect().left - box.x) / box.w;
      return x0 + clamp(share, 0, 1) * (x1 - x0);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!panel.plot || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      const x = valueAt(event, panel.plot);
      this.drag = { from: x, to: x, start: event.clientX };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!panel.plot) return;
      const x = valueAt(event, panel.plot);
      if (this.drag) this.drag.to = x;
      else {
        this.hover = { x, panel };
        this.lead(x);
      }
      this.showTip(event);
      this.schedule();
    });
    canvas.addEventListener("pointerup", (event) => {
      const { drag } = this;
      this.drag = null;
      if (drag && Math.abs(event.clientX - drag.start) > SHORTEST_ZOOM) {
        this.zoom = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
      }
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

  /** @param {PointerEvent} event */
  showTip(event) {
    const { hover, tip } = this;
    tip.hidden = !hover?.panel.plot || Boolean(this.drag);
    if (tip.hidden || !hover?.panel.plot) return;
    tip.replaceChildren(...this.tipRows(hover.x, hover.panel.metric, hover.panel.plot.lines));
    const frame = this.root.getBoundingClientRect();
    const left = event.clientX - frame.left;
    const flip = left > frame.width / 2;
    tip.style.left = flip ? "auto" : `${left + 14}px`;
    tip.style.right = flip ? `${frame.width - left + 14}px` : "auto";
    tip.style.top = `${event.clientY - frame.top + 12}px`;
  }

  /**
   * @param {number} x
   * @param {Metric} metric
   * @param {Line[]} lines
   */
  tipRows(x, metric, lines) {
    const many = this.runs.size > 1;
    const read = lines.filter((line) => line.name && line.x.length);
    const rows = read.slice(0, MOST_IN_TIP).map((line) => {
      const row = element("div");
      const dot = element("b");
      dot.style.background = line.colour;
      dot.style.opacity = String(line.alpha);
      const value = formatValue(line.y[nearest(line.x, x)], metric);
      row.append(dot, `${value} ${line.name}${many ? ` · ${line.label}` : ""}`);
      return row;
    });
    const digits = this.byEpoch ? 2 : 0;
    const head = element("div", "", `${this.byEpoch ? "epoch" : "step"} ${short(Number(x.toFixed(digits)))}`);
    const more = read.length > rows.length ? [element("div", "", `and ${read.length - rows.length} more`)] : [];
    return [head, ...rows, ...more];
  }

  drawLegend() {
    const entries = [...this.runs.entries()];
    const key = JSON.stringify([entries.map(([id, { label, colour, dash }]) => [id, label, colour, dash]), [...this.hidden]]);
    if (key === this.legendKey) return;
    this.legendKey = key;
    const buttons = entries.map(([id, { label, colour, dash }]) => {
      const show = (/** @type {Set<string>} */ hidden) => {
        this.hidden = hidden;
        this.drawLegend();
        this.schedule();
      };
      const node = button("", () => show(this.hidden.has(id) ? without(this.hidden, id) : new Set([...this.hidden, id])));
      node.addEventListener("dblclick", () => show(without(this.runs.keys(), id)));
      setPressed(node, !this.hidden.has(id));
      const mark = element("i");
      mark.style.background = stripes(colour, dash);
      node.append(mark, element("span", "", label));
      return node;
    });
    this.legend.replaceChildren(...buttons);
  }
}

/**
 * @param {Iterable<string>} ids
 * @param {string} id
 */
function without(ids, id) {
  return new Set([...ids].filter((other) => other !== id));
}

export default mounted(
  (root) => new Curves(find(root, ".curves", HTMLElement)),
  (curves, /** @type {Call<CurvesData>} */ { data, setTriggerValue }) => {
    if (!curves.load(data)) setTriggerValue("resync", Date.now());
  },
  (curves) => curves.destroy(),
);
