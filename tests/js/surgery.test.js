// Surgery in the browser: what an address holds, which map is shown, and what is said of the prediction.
import assert from "node:assert/strict";
import { test } from "node:test";

import { changeWords, likely } from "../../attnlab/ui/components/before_after/before_after.js";
import { amountOf, cellsFromText, cellsToText, EVERYWHERE, firstChoice, IN_VIEW, placesFor, tapsOf, withChoice } from "../../attnlab/ui/components/surgery/choices.js";
import { shareLeft, strongest } from "../../attnlab/ui/components/surgery/features.js";
import { fieldOf, frameOf, gridOf, shownTap } from "../../attnlab/ui/components/surgery/fields.js";

const tap = (kind, shape, rest = {}) => ({ name: kind, kind, shape, grid: shape.slice(-2), scale: "gate", neutral: 1, painted: 1, prefix: 0, queries: null, cells: null, seeds: [], ...rest });
const OFF = { name: "off", title: "Off", kinds: ["channel", "spatial", "pairwise"], whole: false, label: "Strength", low: 0, high: 1 };
const GAMMA = { ...OFF, name: "gamma", title: "Gamma", kinds: ["pairwise"], low: -2, high: 2 };
const TEMPERATURE = { ...OFF, name: "temperature", title: "Sharper or flatter", low: 0.1, high: 10 };
const ALL = [OFF, GAMMA, TEMPERATURE];

test("the sentence says whether another class wins", () => {
  const classes = ["1", "7"];
  assert.equal(changeWords({ classes, before: [0.07, 0.93], after: [0.51, 0.49], truth: 0 }), "The prediction changes from 7 (0.93) to 1 (0.51).");
  assert.equal(changeWords({ classes, before: [0.07, 0.93], after: [0.1, 0.9], truth: null }), "The prediction stays 7: 0.93 before, 0.90 after.");
});

test("the true class is always among the bars, and their order is that before the change", () => {
  const classes = [..."abcdefgh"];
  const before = [0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0];
  assert.deepEqual(likely({ classes, before, after: before, truth: 7 }), [0, 1, 2, 3, 4, 7]);
  assert.deepEqual(likely({ classes, before, after: [0, 0, 0, 0, 0, 0, 0.9, 0.1], truth: 0 }), [0, 1, 2, 3, 4, 6]);
});

test("an address brings a choice back, and out of form it is as usual", () => {
  const choice = { operation: "Gamma", where: "a.tap", strength: 0.25, temperature: 3, gamma: -0.5, seed: 7, strokes: "0x2.1x3" };
  const href = withChoice(ALL, "http://localhost/inspect?run=r", choice);
  assert.deepEqual(firstChoice(ALL, new URL(href).search), choice);
  assert.equal(new URL(href).searchParams.get("run"), "r");
  const usual = { operation: "Off", where: "", strength: 1, temperature: 0.5, gamma: null, seed: 0, strokes: "" };
  assert.deepEqual(firstChoice(ALL, "?operation=Nothing&strength=much&gamma=&draw=x&strokes=9x9"), usual);
  assert.equal(withChoice(ALL, href, usual), "http://localhost/inspect?run=r");
});

test("an operation acts on the map in view where it can, else everywhere", () => {
  const places = [
    { name: "a.tap", title: "a", kind: "spatial" },
    { name: "b.tap", title: "b", kind: "pairwise" },
  ];
  assert.deepEqual(placesFor(OFF, places, "a.tap").map(([value]) => value), [IN_VIEW, EVERYWHERE, "a.tap", "b.tap"]);
  assert.deepEqual(placesFor(GAMMA, places, "a.tap").map(([value]) => value), [EVERYWHERE, "b.tap"]);
  assert.deepEqual(placesFor({ ...OFF, whole: true }, places, "a.tap").map(([value]) => value), [EVERYWHERE]);
  assert.deepEqual([tapsOf(IN_VIEW, "a.tap"), tapsOf(EVERYWHERE, "a.tap"), tapsOf("b.tap", "a.tap")], [["a.tap"], null, ["b.tap"]]);
});

test("gamma begins at what was learned, and the slider reaches beyond it", () => {
  const choice = firstChoice(ALL, "");
  const seen = amountOf(GAMMA, choice, [0.1, 0.3]);
  assert.deepEqual([seen.value, seen.low, seen.high], [0.2, -1, 1]);
  assert.deepEqual([amountOf(GAMMA, choice, [1.5]).value, amountOf(GAMMA, choice, [1.5]).high], [1.5, 2]);
  assert.equal(amountOf(GAMMA, { ...choice, gamma: 0 }, [0.2]).value, 0);
});

test("painted cells come back from their text", () => {
  for (const cells of [[0, 0, 1, 2, 2, 0], [0, 0, 0, 0, 0, 0], [2, 2, 2, 2, 2, 1]]) {
    assert.deepEqual([...cellsFromText(cellsToText(Uint8Array.from(cells)), 6)], cells);
  }
  assert.equal(cellsToText(Uint8Array.of(0, 0, 1, 1, 0)), "0x2.1x2");
  assert.deepEqual([...cellsFromText("1x7", 6)], [0, 0, 0, 0, 0, 0]);
});

test("the map on the canvas is the one with the most positions among those that are changed", () => {
  const taps = [tap("channel", [64, 1, 1]), { ...tap("spatial", [1, 4, 4]), name: "x.tap#h1" }, tap("spatial", [1, 2, 3])];
  assert.equal(shownTap(taps, ["channel", "spatial"], null), 1);
  assert.equal(shownTap(taps, ["channel"], null), 0);
  assert.equal(shownTap(taps, ["spatial"], ["spatial"]), 2);
  assert.equal(shownTap(taps, ["spatial"], ["x.tap"]), 1);
  assert.equal(shownTap(taps, ["spatial"], ["x.tap#h1"]), 1);
  assert.equal(shownTap(taps, ["branch"], null), -1);
});

test("weights are shown in the units that people read", () => {
  const field = (made, weights) => [...fieldOf(made, Float32Array.from(weights))].map((value) => Number(value.toFixed(5)));
  const pairs = tap("pairwise", [4, 4], { grid: [2, 2], scale: "softmax" });
  assert.deepEqual(field(pairs, [0.5, 0.5, 0, 0, 0.5, 0, 0.5, 0, 1, 0, 0, 0, 1, 0, 0, 0]), [3, 0.5, 0.5, 0]);
  const tokens = tap("pairwise", [3, 3], { grid: [1, 2], scale: "softmax", prefix: 1, queries: [1, 2] });
  assert.deepEqual(field(tokens, [1, 0, 0, 0.5, 0.25, 0.25, 0, 0.75, 0.25]), [1, 0.5], "the class token is no position");
  assert.deepEqual(field(tap("element", [2, 1, 2]), [0, 0.5, 1, 1]), [0.5, 0.75]);
  assert.deepEqual(field(tap("branch", [2, 3, 1, 1], { scale: "softmax" }), [0.5, 1, 0, 0.5, 0, 1]), [1, 2, 0, 1, 0, 2]);
  assert.deepEqual([gridOf(tap("channel", [12, 1, 1])), gridOf(tap("channel", [7, 1, 1])), gridOf(tap("element", [8, 5, 1]))], [[3, 4], [1, 7], [5, 1]]);
});

test("a map fills the part of the picture that its cells see", () => {
  const half = tap("spatial", [1, 2, 2], { cells: [[4, 4], [6, 4]] });
  assert.deepEqual(frameOf(half, [3, 16, 16]), [0.25, 0.125, 0.75, 0.625]);
  assert.deepEqual(frameOf(tap("spatial", [1, 2, 2]), [3, 16, 16]), [0, 0, 1, 1]);
});

test("the strongest channels come first, whatever their sign, and the share that is left is of their size", () => {
  const features = Float32Array.from([1, -1, -5, 3, 0, 0, 2, 2]); // four channels of two positions
  assert.deepEqual(strongest(features, 4), [1, 3, 0, 2]);
  assert.equal(strongest(new Float32Array(40), 20).length, 8);
  assert.equal(shareLeft(features, features.map((value) => -value / 2)), 0.5);
  assert.equal(shareLeft(new Float32Array(4), new Float32Array(4)), 1);
});
