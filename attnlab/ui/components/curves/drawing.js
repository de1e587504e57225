// Lines, scales and figures of the chart: functions of their arguments, joined in front of curves.js.

// Runs of one group share its colour and differ in their dashes.
const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3]];
const MARGIN = { left: 46, right: 10, top: 8, bottom: 22 };

// Lowest and highest value between x0 and x1, with a little air.
function extent(lines, x0, x1, log, metric) {
  let low = Infinity;
  let high = -Infinity;
  for (const { x, y, alpha } of lines) {
    if (alpha < 0.3) continue; // single noisy steps may leave the frame; what is read off must not
    for (let i = 0; i < x.length; i++) {
      if (x[i] < x0 || x[i] > x1 || y[i] === null || (log && y[i] <= 0)) continue;
      if (y[i] < low) low = y[i];
      if (y[i] > high) high = y[i];
    }
  }
  if (!(low <= high)) return metric === "accuracy" ? [0, 1] : [log ? 0.1 : 0, 1];
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  return metric === "accuracy" ? [Math.max(0, low - air), Math.min(1, high + air)] : [Math.max(0, low - air), high + air];
}

// One line; where several points share a pixel column its lowest and highest are drawn.
function stroke(g, line, X, Y, x0, x1, log, paper) {
  const { x, y } = line;
  g.globalAlpha = line.alpha;
  g.strokeStyle = line.colour;
  g.lineWidth = line.width;
  g.lineJoin = "round";
  g.setLineDash(line.dash);
  g.beginPath();
  let pen = false;
  let column = null;
  const flush = () => {
    if (!column) return;
    if (pen) g.lineTo(column.at, Y(column.first));
    else g.moveTo(column.at, Y(column.first));
    pen = true;
    if (column.low !== column.high) {
      g.lineTo(column.at, Y(column.low));
      g.lineTo(column.at, Y(column.high));
      g.lineTo(column.at, Y(column.last));
    }
    column = null;
  };
  const from = Math.max(0, below(x, x0) - 1);
  for (let i = from; i < x.length; i++) {
    const value = y[i];
    if (value === null || (log && value <= 0)) {
      flush();
      pen = false;
      continue;
    }
    const at = Math.round(X(x[i]) * 2) / 2;
    if (column && column.at === at) {
      column.low = Math.min(column.low, value);
      column.high = Math.max(column.high, value);
      column.last = value;
    } else {
      flush();
      column = { at, first: value, last: value, low: value, high: value };
    }
    if (x[i] > x1) break;
  }
  flush();
  g.stroke();
  g.setLineDash([]);
  if (line.dots) {
    g.fillStyle = paper;
    for (let i = from; i < x.length && x[i] <= x1; i++) {
      if (y[i] === null || x[i] < x0 || (log && y[i] <= 0)) continue;
      g.beginPath();
      g.arc(X(x[i]), Y(y[i]), 2.6, 0, 7);
      g.fill();
      g.stroke();
    }
  }
  g.globalAlpha = 1;
}

// Index of the first value not below `value` in a sorted list.
function below(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nearest(sorted, value) {
  const i = below(sorted, value);
  if (i === 0) return 0;
  if (i === sorted.length) return i - 1;
  return value - sorted[i - 1] <= sorted[i] - value ? i - 1 : i;
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const result = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k++) result.push(Number((k * step).toPrecision(10)));
  return result;
}

function logTicks(low, high) {
  const result = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const n of [1, 2, 5]) {
      const value = n * 10 ** power;
      if (value >= low && value <= high) result.push(Number(value.toPrecision(3)));
    }
  }
  return result.length > 1 ? result : ticks(low, high, 4);
}

// A line in the legend, as a CSS background with the same dashes as in the chart.
function stripes(colour, dash) {
  if (!dash.length) return colour;
  const stops = [];
  let at = 0;
  dash.forEach((length, index) => {
    stops.push(`${index % 2 ? "transparent" : colour} ${at}px ${at + length}px`);
    at += length;
  });
  return `repeating-linear-gradient(90deg, ${stops.join(", ")})`;
}

function lastOf(values) {
  return values.length ? values[values.length - 1] : null;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function short(value) {
  return Math.abs(value) >= 10000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(4)));
}

function number(value, metric) {
  if (value === null || value === undefined) return "–";
  return metric === "accuracy" ? `${(100 * value).toFixed(1)} %` : value.toPrecision(3);
}
