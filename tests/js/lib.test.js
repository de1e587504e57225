// The parts that the components share.
import assert from "node:assert/strict";
import { test } from "node:test";

import { opaque, pixelsOfRgb } from "../../attnlab/ui/components/lib/canvas.js";
import { COLOUR_MAPS, gradient, isDark, levelsOf, palette } from "../../attnlab/ui/components/lib/colours.js";
import { boxOf, cellAt, cellOf, cellWords, middleOf, placeOf } from "../../attnlab/ui/components/lib/grid.js";
import { Latest } from "../../attnlab/ui/components/lib/latest.js";
import { flagField, numberField, placesField, readLink, usualState, wholeField, wordField, writeLink } from "../../attnlab/ui/components/lib/link.js";
import { mounted } from "../../attnlab/ui/components/lib/mount.js";
import { extent, formatNumber, formatTo, percent } from "../../attnlab/ui/components/lib/numbers.js";
import { selectionAfter } from "../../attnlab/ui/components/picker/selection.js";

// ---- grid ------------------------------------------------------------------------------------------------------------

test("a place on the picture lies in a cell, its edges and beyond in the outer ones", () => {
  assert.deepEqual(cellAt([2, 4], { u: 0.5, v: 0.4 }), { row: 0, column: 2, index: 2 });
  assert.deepEqual(cellAt([2, 4], { u: 1, v: 1 }), { row: 1, column: 3, index: 7 });
  assert.deepEqual(cellAt([2, 4], { u: -1, v: 7 }), { row: 1, column: 0, index: 4 });
  assert.deepEqual(cellOf([2, 4], -3, 9), { row: 0, column: 3, index: 3 });
});

test("the middle of a cell lies in that cell", () => {
  assert.deepEqual(middleOf([2, 4], { row: 1, column: 2 }), { u: 0.625, v: 0.75 });
  for (let index = 0; index < 8; index++) {
    const cell = cellOf([2, 4], Math.floor(index / 4), index % 4);
    assert.deepEqual(cellAt([2, 4], middleOf([2, 4], cell)), cell);
  }
});

test("cells that fill a part of the picture are found where they lie", () => {
  const frame = /** @type {const} */ ([0.25, 0.5, 0.75, 1.5]); // the lower half of the rows lies outside the picture
  assert.deepEqual(cellAt([2, 4], { u: 0.3, v: 0.6 }, frame), { row: 0, column: 0, index: 0 });
  assert.deepEqual(cellAt([2, 4], { u: 0.9, v: 0.99 }, frame), { row: 0, column: 3, index: 3 });
  assert.deepEqual(middleOf([2, 4], { row: 1, column: 2 }, frame), { u: 0.5625, v: 1.25 });
  assert.deepEqual(boxOf(frame, 100, 10), { x: 25, y: 5, wide: 50, tall: 10 });
});

test("the pointer's place is a share of the element, never outside it", () => {
  const node = { getBoundingClientRect: () => ({ left: 10, top: 20, width: 200, height: 100 }) };
  assert.deepEqual(placeOf({ clientX: 60, clientY: 70 }, node), { u: 0.25, v: 0.5 });
  assert.deepEqual(placeOf({ clientX: 0, clientY: 500 }, node), { u: 0, v: 0.9999 });
});

test("a cell in words", () => {
  assert.equal(cellWords({ row: 3, column: 7 }), "row 3, column 7");
});

// ---- link ------------------------------------------------------------------------------------------------------------

const FIELDS = {
  share: numberField("sh", 0.5, 0, 1),
  count: wholeField("co", 0, -2, 9),
  word: wordField("wo", ["one", "two"]),
  flag: flagField("fl", true),
  places: placesField("pl", 2),
};

test("a state goes into an address and comes back", () => {
  const state = { share: 0.1239, count: -2, word: "two", flag: false, places: [{ u: 0, v: 1 }, { u: 0.25, v: 0.5 }] };
  const href = writeLink(FIELDS, "http://host/page?other=1#here", state);
  assert.equal(href, "http://host/page?other=1&sh=0.124&co=-2&wo=two&fl=0&pl=0.00_1.00%7E0.25_0.50#here");
  assert.deepEqual(readLink(FIELDS, new URL(href).search), { ...state, share: 0.124 });
});

test("what is as usual is removed from the address", () => {
  const usual = usualState(FIELDS);
  assert.deepEqual(usual, { share: 0.5, count: 0, word: "one", flag: true, places: [] });
  assert.equal(writeLink(FIELDS, "http://host/?sh=0.1&co=3&wo=two&fl=0&pl=0_0&other=1", usual), "http://host/?other=1");
  usual.places.push({ u: 0, v: 0 });
  assert.deepEqual(usualState(FIELDS).places, []); // each state has lists of its own
});

test("numbers are kept within their range, and text that means nothing is ignored", () => {
  assert.deepEqual(readLink(FIELDS, "?sh=7&co=-5"), { share: 1, count: -2 });
  assert.deepEqual(readLink(FIELDS, "?sh=&co=1.5&wo=three&fl=yes&pl=0.5_2"), {});
  assert.deepEqual(readLink(FIELDS, "?sh=abc&co=&pl=0.5~0.5&pl=1"), {});
  assert.deepEqual(readLink(FIELDS, "?pl=1.5_0"), {});
});

// ---- colours ---------------------------------------------------------------------------------------------------------

test("pixels are packed as the canvas has them: red, green, blue, alpha", () => {
  const bytes = new Uint8Array(Uint32Array.of(opaque(1, 2, 3)).buffer);
  assert.deepEqual([...bytes], [1, 2, 3, 255]);
  assert.deepEqual([...pixelsOfRgb(Uint8Array.from([1, 2, 3, 4, 5, 6]))], [opaque(1, 2, 3), opaque(4, 5, 6)]);
});

test("the first colour map is viridis, from dark violet to yellow", () => {
  assert.deepEqual(COLOUR_MAPS[0], ["viridis", "viridis"]);
  const { pixels, css } = palette("viridis");
  assert.deepEqual([css[0], css[255], css.length], ["rgb(68 1 84)", "rgb(253 231 37)", 256]);
  assert.deepEqual([pixels[0], pixels[255]], [opaque(68, 1, 84), opaque(253, 231, 37)]);
  assert.ok(gradient("grey").startsWith("linear-gradient(to right, rgb(0 0 0), rgb(64 64 64)"));
});

test("levels are shares of the scale; what leaves it saturates, and a scale without width is its lowest colour", () => {
  assert.deepEqual([...levelsOf([0, 1, 2, 4, 9, -1], 0, 4)], [0, 64, 128, 255, 255, 0]);
  assert.deepEqual([...levelsOf([3, 3], 3, 3)], [0, 0]);
});

test("dark and bright backgrounds are told apart", () => {
  assert.equal(isDark("#0f151b"), true);
  assert.equal(isDark("#fdfdfb"), false);
  assert.equal(isDark("white"), false);
});

// ---- numbers ---------------------------------------------------------------------------------------------------------

test("numbers as text", () => {
  assert.equal(percent(0.66), "66%");
  assert.equal(percent(0.6666, 1), "66.7%");
  assert.deepEqual([0, 0.5, 12345, 0.00012, NaN, 1e-9].map(formatNumber), ["0", "0.5", "1.2e+4", "1.2e-4", "–", "0"]);
  assert.equal(formatTo(0.5, 0), "0.5");
  assert.deepEqual(extent([3, 1, 2]), [1, 3]);
});

// ---- views and results that are kept ---------------------------------------------------------------------------------

test("a result is made again only when its key changes", () => {
  const latest = new Latest();
  let made = 0;
  const get = (key) => latest.get(key, () => ++made);
  assert.deepEqual([get("a"), get("a"), get("b"), get("a")], [1, 1, 2, 3]);
});

test("a component keeps one view for each element, until it is removed", () => {
  const log = [];
  const component = mounted(
    (root) => ({ root, made: log.push("made") }),
    (view, { data }) => log.push(`${view.root.name} ${data}`),
    (view) => log.push(`${view.root.name} gone`),
  );
  const [one, two] = [{ name: "one" }, { name: "two" }];
  component({ data: 1, parentElement: one });
  const remove = component({ data: 2, parentElement: one });
  component({ data: 3, parentElement: two });
  remove();
  component({ data: 4, parentElement: one });
  assert.deepEqual(log, ["made", "one 1", "one 2", "made", "two 3", "one gone", "made", "one 4"]);
});

// ---- the strip of images ---------------------------------------------------------------------------------------------

test("a click chooses one image, or adds and removes one of several", () => {
  assert.deepEqual(selectionAfter([2], 5, false, 4), [5]);
  assert.deepEqual(selectionAfter([2], 5, true, 4), [2, 5]);
  assert.deepEqual(selectionAfter([2, 5], 2, true, 4), [5]);
  assert.deepEqual(selectionAfter([2], 2, true, 4), [2]); // one stays
  assert.deepEqual(selectionAfter([1, 2, 3, 4], 9, true, 4), [1, 2, 3, 9]); // the last makes room
  assert.deepEqual(selectionAfter([2], 5, true, 1), [5]);
});
