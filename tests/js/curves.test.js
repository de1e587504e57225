// The arithmetic of the loss and accuracy chart.
import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../../attnlab/ui/components/curves/history.js";
import {
  below,
  formatValue,
  logTicks,
  nearest,
  reduced,
  short,
  smoothed,
  stripes,
  ticks,
  valueRange,
} from "../../attnlab/ui/components/curves/scales.js";

const rows = (since, step, loss, epochs_since = 0, epochs = []) => ({ since, step, loss, epochs_since, epochs });

test("rows that arrive are appended, and rows sent again take the place of those before", () => {
  const history = new History(0);
  assert.equal(history.append(rows(0, [1, 2], [3, 2])), true);
  assert.equal(history.append(rows(2, [3], [1.5], 0, [{ step: 3 }])), true);
  assert.equal(history.append(rows(1, [2, 3], [9, 8], 1, [])), true);
  assert.deepEqual([history.step, history.loss, history.epochs], [[1, 2, 3], [3, 9, 8], [{ step: 3 }]]);
  assert.equal(history.lastStep, 3);
});

test("a gap is reported, and nothing is appended over it", () => {
  const history = new History(0);
  history.append(rows(0, [1], [3]));
  assert.equal(history.append(rows(2, [3], [1])), false);
  assert.equal(history.append(rows(1, [], [], 1, [])), false);
  assert.deepEqual(history.step, [1]);
});

test("the moving average has no bias at its start and leaves gaps as they are", () => {
  assert.deepEqual(smoothed([4, 4, 4], 0.9).map((value) => value.toFixed(9)), Array(3).fill("4.000000000"));
  // weights of 1 and 2 at a smoothing of 1/2: (2 * 1/4 + 8 * 1/2) / (3/4) = 6
  assert.deepEqual(smoothed([2, null, 8], 0.5), [2, null, 6]);
  assert.deepEqual(smoothed([1, 5], 0), [1, 5]);
});

test("the vertical axis holds what is read off, with a little air", () => {
  const line = { x: [0, 1, 2, 3], y: [1, 2, null, 9], alpha: 1 };
  const close = (actual, expected) => actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-9, `${actual}`));
  close(valueRange([line], [0, 2], false, "loss"), [0.94, 2.06]);
  close(valueRange([line, { ...line, y: [99, 99, 99, 99], alpha: 0.25 }], [0, 2], false, "loss"), [0.94, 2.06]); // faint lines may leave
  close(valueRange([{ ...line, y: [0.5, 1, 1, 1] }], [0, 3], false, "accuracy"), [0.47, 1]); // never above 100%
  close(valueRange([{ ...line, y: [-1, 0, 1, 10] }], [0, 3], true, "loss"), [1 / 1.1, 11]); // a logarithm needs more than 0
  assert.deepEqual(valueRange([], [0, 1], false, "accuracy"), [0, 1]);
  assert.deepEqual(valueRange([], [0, 1], true, "loss"), [0.1, 1]);
});

test("points that share half a pixel become their first, lowest, highest and last", () => {
  const line = { x: [0, 0.1, 0.2, 0.24, 4], y: [5, 1, 9, 3, 7] };
  assert.deepEqual(reduced(line, (x) => x, [0, 4], false), [[[0, 5], [0, 1], [0, 9], [0, 3], [4, 7]]]);
});

test("gaps, and values without a logarithm, divide a line", () => {
  const line = { x: [0, 1, 2, 3], y: [1, null, 2, -3] };
  assert.deepEqual(reduced(line, (x) => x, [0, 3], false), [[[0, 1]], [[2, 2], [3, -3]]]);
  assert.deepEqual(reduced(line, (x) => x, [0, 3], true), [[[0, 1]], [[2, 2]]]);
});

test("of a line that leaves the frame one point beyond each side is drawn", () => {
  const line = { x: [0, 1, 2, 3, 4, 5], y: [0, 1, 2, 3, 4, 5] };
  assert.deepEqual(reduced(line, (x) => x, [2, 3], false), [[[1, 1], [2, 2], [3, 3], [4, 4]]]);
});

test("ticks are round numbers within the range", () => {
  assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(3, 97, 5), [20, 40, 60, 80]);
  assert.deepEqual(ticks(0, 7, 2), [0, 5]);
  assert.deepEqual(logTicks(0.09, 3), [0.1, 0.2, 0.5, 1, 2]);
  assert.deepEqual(logTicks(2.1, 2.9), [2.2, 2.4, 2.6, 2.8]); // less than two powers: as on a plain axis
});

test("the nearest point is found in a sorted list", () => {
  assert.equal(below([1, 3, 3, 7], 3), 1);
  assert.equal(below([1, 3, 3, 7], 8), 4);
  assert.equal(nearest([10, 20, 40], 29), 1);
  assert.equal(nearest([10, 20, 40], 31), 2);
  assert.equal(nearest([10, 20, 40], 30), 1); // the earlier one of two
  assert.equal(nearest([10, 20, 40], -5), 0);
  assert.equal(nearest([10, 20, 40], 99), 2);
});

test("the legend has the dashes of the chart", () => {
  assert.equal(stripes("#123456", []), "#123456");
  assert.equal(stripes("red", [7, 3]), "repeating-linear-gradient(90deg, red 0px 7px, transparent 7px 10px)");
});

test("numbers on the axes and in the tip", () => {
  assert.equal(short(12500), "12.5k");
  assert.equal(short(0.123456), "0.1235");
  assert.equal(formatValue(0.666, "accuracy"), "66.6%");
  assert.equal(formatValue(0.12345, "loss"), "0.123");
  assert.equal(formatValue(null, "loss"), "–");
  assert.equal(formatValue(undefined, "accuracy"), "–");
});
