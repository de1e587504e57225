// Strokes of the mask editor's brush as cells.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBase64, toBase64 } from "../../attnlab/ui/components/lib/base64.js";
import { brushBox, ERASED, PAINTED, Painting } from "../../attnlab/ui/components/mask_editor/painting.js";

const picture = ({ cells, grid }) => Array.from({ length: grid[0] }, (_, row) => cells.slice(row * grid[1], (row + 1) * grid[1]).join(""));
const at = (row, column) => ({ row, column, index: 0 });

test("a brush of an even size reaches further down and right", () => {
  assert.deepEqual(brushBox(at(5, 5), 1), { top: 5, bottom: 6, left: 5, right: 6 });
  assert.deepEqual(brushBox(at(5, 5), 3), { top: 4, bottom: 7, left: 4, right: 7 });
  assert.deepEqual(brushBox(at(5, 5), 4), { top: 4, bottom: 8, left: 4, right: 8 });
});

test("a stroke fills the cells on a straight line, and stays on the map", () => {
  const painting = new Painting([4, 6]);
  painting.resize(1);
  painting.stroke(at(0, 0), at(3, 5));
  assert.deepEqual(picture(painting), ["100000", "011000", "000110", "000001"]);
  painting.resize(3);
  painting.stroke(at(0, 5), at(0, 5));
  assert.deepEqual(picture(painting), ["100011", "011011", "000110", "000001"]);
});

test("erasing takes the place of painting", () => {
  const painting = new Painting([1, 5]);
  painting.stroke(at(0, 2), at(0, 2));
  painting.mode = ERASED;
  painting.resize(1);
  painting.stroke(at(0, 2), at(0, 2));
  assert.deepEqual(picture(painting), ["01210"]);
});

test("undo goes back one stroke at a time, also over clearing", () => {
  const painting = new Painting([1, 4]);
  painting.resize(1);
  for (const column of [0, 2]) {
    painting.remember();
    painting.stroke(at(0, column), at(0, column));
  }
  painting.clear();
  assert.ok(painting.isEmpty);
  painting.undo();
  assert.deepEqual(picture(painting), ["1010"]);
  painting.undo();
  assert.deepEqual(picture(painting), ["1000"]);
  assert.equal(painting.undo(), true);
  assert.equal(painting.undo(), false);
  assert.ok(painting.isEmpty);
});

test("fifty strokes can be taken back", () => {
  const painting = new Painting([1, 1]);
  for (let stroke = 0; stroke < 60; stroke++) painting.remember();
  assert.equal(painting.history.length, 50);
});

test("the brush is one to nine cells wide", () => {
  const painting = new Painting([1, 1]);
  painting.resize(0);
  assert.equal(painting.size, 1);
  painting.resize(12);
  assert.equal(painting.size, 9);
});

test("cells travel as one byte each in base64", () => {
  const cells = Uint8Array.from([0, PAINTED, ERASED]);
  assert.equal(toBase64(cells), "AAEC");
  assert.deepEqual(fromBase64("AAEC"), cells);
});
