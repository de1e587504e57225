// The numbers of a tensor at a position and a channel.
import assert from "node:assert/strict";
import { test } from "node:test";

import { largestKey, pick } from "../../attnlab/ui/components/anatomy/readings.js";

const FEATURES = [3, 2, 4];
const count = (sides) => Array.from({ length: sides.reduce((a, b) => a * b, 1) }, (_, at) => at);
const at = (sides, axes, spot) => pick(count(sides), sides, axes, spot, FEATURES);
const spot = { row: 1, column: 2, channel: 2 };

test("a value for each channel and position is found in reading order", () => {
  assert.deepEqual(at([3, 2, 4], ["channel", "row", "column"], spot), [2 * 8 + 1 * 4 + 2]);
});

test("a side of length one is the same for all", () => {
  assert.deepEqual(at([3, 1, 1], ["channel", "row", "column"], spot), [2]);
  assert.deepEqual(at([1, 2, 4], ["other", "row", "column"], spot), [6]);
});

test("a coarser map gives the cell that holds the position", () => {
  assert.deepEqual(at([1, 2], ["row", "column"], { row: 1, column: 3, channel: 0 }), [1]);
});

test("positions, rows of channels, and sides without a place", () => {
  assert.deepEqual(at([3, 8], ["channel", "position"], spot), [16 + 6]);
  assert.deepEqual(at([6, 2], ["channel-row", "other"], spot), [10, 11]);
  assert.deepEqual(at([2, 3], ["other", "channel"], spot), [2, 5]);
});

test("the largest weight of a query is named by its place, without keys outside the map", () => {
  assert.equal(largestKey([0, 0, 0, 0, 0, 0.9, 0, 0.1], 8, FEATURES), "row 1, column 1");
  assert.equal(largestKey([5, 0, 0, 0, 0, 0, 0.9, 0, 0.1], 9, FEATURES), "row 1, column 1");
  assert.equal(largestKey([1, 2], 2, FEATURES), "");
});
