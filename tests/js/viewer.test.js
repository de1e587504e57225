// What the viewer computes, without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";

import { formatTo } from "../../attnlab/ui/components/lib/numbers.js";
import { branchFacts, isStacked, sharesInWords, winnersOf } from "../../attnlab/ui/components/viewer/branches.js";
import { barAt, stackOf, stripPlan } from "../../attnlab/ui/components/viewer/channel_strip.js";
import { fieldOf, scaleEnds, scaleWords, valueWords } from "../../attnlab/ui/components/viewer/field.js";
import { headsOf, layerBeside, membersOf } from "../../attnlab/ui/components/viewer/group.js";
import {
  colourIndex,
  columnWeights,
  contourLines,
  entropyMap,
  meanWeights,
  precisionOf,
  quantile,
  rowMeans,
  rowWeights,
  shownClasses,
  upsample,
  weightInside,
} from "../../attnlab/ui/components/viewer/maths.js";
import { momentAt, placeOnTrack } from "../../attnlab/ui/components/viewer/time_lapse.js";
import { linkWithView, usualView, viewFromLink } from "../../attnlab/ui/components/viewer/view.js";

// Two queries over four keys on a 2 x 2 grid; codes 0..255 between floor and peak.
const pairs = {
  name: "p",
  kind: "pairwise",
  scale: "softmax",
  moments: 1,
  rows: 4,
  length: 4,
  grid: [2, 2],
  queries: [2, 2],
  reference: null,
  codes: Uint8Array.from([255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 255, 255, 0, 0]),
  floor: Float32Array.from([0, 0.25, 0, 0]),
  peak: Float32Array.from([1, 0.25, 1, 0.5]),
};
const gate = (name, low, high) => ({
  ...{ name, kind: "spatial", scale: "gate", moments: 1, rows: 1, length: 4, grid: [2, 2], queries: [1, 1], reference: null, neutral: 1 },
  codes: Uint8Array.from([0, 255, 0, 0]),
  floor: Float32Array.from([low]),
  peak: Float32Array.from([high]),
});

test("a row is the attention a position pays, a column the attention it receives", () => {
  assert.deepEqual([...rowWeights(pairs, 0, 1)], [0.25, 0.25, 0.25, 0.25]);
  assert.deepEqual([...columnWeights(pairs, 0, 1)], [0, 0.25, 1, 0.5]);
  assert.deepEqual([...meanWeights(pairs, 0, [0, 2])], [0.5, 0.5, 0, 0]);
});

test("entropy is 1 for uniform weights and 0 for a single position", () => {
  const shares = [...entropyMap(pairs, 0)];
  assert.deepEqual(shares.map((value) => Number(value.toFixed(6))), [0, 1, 0, 0.5]);
});

test("softmax weights are shown as multiples of uniform, gates as they are", () => {
  const usual = usualView();
  const field = fieldOf(pairs, 0, usual, [{ u: 0.9, v: 0.1 }]); // the upper right query
  assert.deepEqual([...field.compute()], [1, 1, 1, 1]);
  assert.deepEqual([...fieldOf(gate("g", 0.2, 0.5), 0, usual, []).compute()].map((v) => v.toFixed(1)), ["0.2", "0.5", "0.2", "0.2"]);
});

test("while no position is pointed at, a pairwise map is the mean over all, and says so", () => {
  const field = fieldOf(pairs, 0, usualView(), []);
  assert.deepEqual([...field.compute()], [1.75, 1.75, 0.25, 0.25]);
  assert.match(scaleWords(usualView(), pairs, field, [0, 4], field.compute()), /mean over all positions; point at one for its own/);
});

test("the row of a class token is shown where it is asked for and there is one, and says so", () => {
  const row = { ...gate("p", 0, 0.5), scale: "softmax" };
  const state = { ...usualView(), pair: "token" };
  const field = fieldOf({ ...pairs, class_token: row }, 0, state, [{ u: 0.9, v: 0.1 }]);
  assert.deepEqual([...field.compute()], [0, 2, 0, 0]);
  assert.match(scaleWords(state, pairs, field, [0, 4], field.compute()), /given by the class token/);
  assert.deepEqual([...fieldOf(pairs, 0, state, [{ u: 0.9, v: 0.1 }]).compute()], [1, 1, 1, 1]);
});

test("ignoring nearby positions takes the query's own cell away and keeps the rest", () => {
  const field = fieldOf(pairs, 0, { ...usualView(), near: 1 }, [{ u: 0.1, v: 0.9 }]); // query 2 attends to key 1
  assert.deepEqual([...field.compute()], [0, 4, 0, 0]);
  const own = fieldOf(pairs, 0, { ...usualView(), near: 1 }, [{ u: 0.1, v: 0.1 }]); // query 0 attends to itself
  assert.deepEqual([...own.compute()], [0, 0, 0, 0]);
});

test("the colour scale is fixed unless stretching is chosen", () => {
  const first = gate("a", 0.2, 0.5);
  const deeper = gate("b", 0.1, 0.9);
  const elsewhere = { layers: [{ ...gate("a", 0.4, 0.7), reference: [0.05, 0.6] }] };
  const panel = { layers: [first, deeper] };
  const ends = (scope) => scaleEnds(scope, first, 0, { softmax: false }, Float32Array.from([0.2, 0.5]), panel, [panel, elsewhere]);
  const near = (actual, expected) => actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6, `${actual} is not ${expected}`));
  near(ends("absolute"), [0, 1]);
  near(ends("map"), [0.2, 0.5]);
  near(ends("image"), [0.1, 0.9]);
  near(ends("layer"), [0.05, 0.7]);
  assert.equal(scaleEnds("absolute", pairs, 0, { softmax: true }, [], panel, [panel])[1], 4);
});

test("quantiles lie on straight lines between order statistics", () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([4, 1, 3, 2], 1), 4);
});

test("bilinear drawing keeps the weights at pixel centres and never leaves their range", () => {
  const fine = upsample(Float32Array.from([0, 1]), 1, 2, 1, 4);
  assert.deepEqual([...fine], [0, 0.25, 0.75, 1]);
});

test("a contour crosses a ramp where the ramp has the level", () => {
  const lines = contourLines([0, 1, 0, 1], 2, 2, 0.25);
  assert.deepEqual(lines, [0.375, 0.25, 0.375, 0.75]); // pixel centres at 0.25 and 0.75
});

test("weight on the object is compared with the object's area", () => {
  const { weight, area } = weightInside([3, 1, 0, 0], 2, 2, [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 4);
  assert.equal(weight, 0.75);
  assert.equal(area, 0.25);
});

test("what lies below the cut gets no colour, and gamma bends the rest", () => {
  const plain = colourIndex(1, 0.5);
  assert.equal(plain[127], -1);
  assert.equal(plain[128], 128);
  assert.equal(colourIndex(2, 0)[128], Math.round(255 * (128 / 255) ** 2));
});

test("a link brings the view back, leaves out what is as usual, and ignores nonsense", () => {
  const view = { ...usualView(), layer: 2, gamma: 1.5, blend: "contour", pins: [{ u: 0.25, v: 0.5 }, { u: 0.75, v: 0.125 }] };
  const href = linkWithView("http://host/inspect?run=abc&op=0.3", view);
  assert.equal(new URL(href).searchParams.get("run"), "abc");
  assert.equal(new URL(href).searchParams.has("op"), false);
  assert.deepEqual({ ...usualView(), ...viewFromLink(new URL(href).search) }, view);
  assert.deepEqual(viewFromLink("?op=7&cm=rainbow&ly=&px=2_3&ga=abc"), { opacity: 1 });
});

test("numbers have the digits that one byte per weight warrants", () => {
  assert.equal(precisionOf(pairs, 0, [3]), 0.5 / 510);
  assert.equal(formatTo(4 / 7, 1 / 510), "0.57");
  assert.equal(formatTo(0.50123, 0.002 / 510), "0.50123");
  assert.equal(formatTo(0.0004, 1 / 510), "< 0.01");
  assert.equal(formatTo(0, 1 / 510), "0.00");
});

test("a time-lapse shows the last snapshot not later than the step", () => {
  assert.equal(momentAt([0, 1, 5, 40], 39), 2);
  assert.equal(momentAt([0, 1, 5, 40], Infinity), 3);
});

test("the true class is among the bars, however improbable", () => {
  assert.deepEqual(shownClasses([[0.1, 0.5, 0.3, 0.1]], 2, 3), [1, 3]);
});

test("an element map shows the channel pointed at, else the one picked, else their mean", () => {
  const codes = Uint8Array.from([0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0, 255]);
  const [floor, peak] = [new Float32Array(3), new Float32Array(3).fill(1)];
  const layer = { ...gate("e", 0, 1), kind: "element", rows: 3, codes, floor, peak };
  const values = (state, pointed) => [...fieldOf(layer, 0, { ...usualView(), ...state }, [], pointed).compute()];
  assert.deepEqual(values({ channel: 0 }, 1), [1, 1, 1, 1]);
  assert.deepEqual(values({ channel: 9 }, null), [0, 1, 0, 1]); // the last channel there is
  assert.deepEqual(values({}, null).map((value) => value.toFixed(3)), ["0.333", "0.667", "0.333", "0.667"]);
  assert.deepEqual([...rowMeans(layer, 0)], [0, 1, 0.5]);
});

test("values and scales are said in words", () => {
  assert.equal(valueWords(pairs, fieldOf(pairs, 0, usualView(), [{ u: 0.1, v: 0.1 }]), 4, 1 / 510), "4.0× uniform (weight 1.00)");
  assert.equal(valueWords(gate("g", 0, 1), null, 0.5, 1 / 510), "gate 0.50");
  const words = (change, layer, ends, values) =>
    scaleWords({ ...usualView(), ...change }, layer, fieldOf(layer, 0, usualView(), [{ u: 0.1, v: 0.1 }]), ends, Float32Array.from(values));
  assert.equal(words({}, gate("g", 0, 1), [0, 1], [1, 0.5]), "gate value (1 = unchanged) · fixed scale");
  assert.equal(
    words({ smooth: true }, gate("g", 0, 1), [0, 1], [1, 0.5]),
    "gate value (1 = unchanged) · fixed scale · colours between cell centres are interpolated",
  );
  const uniform = "weight relative to uniform attention (1 = average)";
  assert.equal(words({}, pairs, [0, 4], [4, 0]), `${uniform} · fixed scale, capped at 4`);
  assert.equal(words({}, pairs, [0, 4], [36, 0, 5]), `${uniform} · fixed scale, capped at 4 · 2 of 3 cells above 4, up to 36`);
  assert.equal(words({ scope: "map" }, pairs, [0, 2.5], [2.5, 0]), `${uniform} · colours stretched to this map: 0 to 2.5`);
});

test("factors have a scale of two equal sides around the value that changes nothing", () => {
  const layer = { ...gate("f", -0.5, 1.25), scale: "factor" };
  const values = Float32Array.from([-0.5, 1, 1.25]);
  const ends = (scope) => scaleEnds(scope, layer, 0, { softmax: false }, values, { layers: [layer] }, [{ layers: [layer] }]);
  assert.deepEqual(ends("absolute"), [0, 2]);
  for (const scope of ["map", "image", "layer"]) assert.deepEqual(ends(scope), [-0.5, 2.5]);
  const field = fieldOf(layer, 0, usualView(), [{ u: 0.1, v: 0.1 }]);
  assert.equal(
    scaleWords(usualView(), layer, field, [0, 2], values),
    "factor value (1 = unchanged) · fixed scale · 1 of 3 cells below 0, down to -0.5",
  );
  assert.equal(valueWords(layer, null, -0.5, 1 / 510), "factor -0.50");
  const bent = colourIndex(2, 0, true);
  assert.deepEqual([bent[0], bent[255]], [0, 255]);
  assert.ok(Math.abs(bent[127] - 127.5) < 1 && bent[64] > 64 && bent[191] < 191); // both sides bend towards the middle
  assert.deepEqual([...colourIndex(1, 0.5, true)].map((at) => at < 0).filter(Boolean).length, 128); // the half around it is hidden
});

test("a gate that is added to one says so", () => {
  const layer = { ...gate("g", 0, 1), neutral: 0 };
  assert.equal(scaleWords(usualView(), layer, null, [0, 1], Float32Array.from([1])), "gate value (0 = unchanged) · fixed scale");
});

test("one outlier does not make all else of a stretched map one colour", () => {
  const outlier = [61, ...Array.from({ length: 63 }, (_, at) => at / 31)]; // one weight of 61, the others from 0 to 2
  const ends = (values) => scaleEnds("map", pairs, 0, { softmax: true }, Float32Array.from(values), null, []);
  assert.deepEqual(ends(outlier), [0, 4]);
  assert.deepEqual(ends(outlier.map((value, at) => (at ? 2.5 * value : 61))), [0, 10]); // twice the range of the others
  assert.deepEqual(ends([7, 6, 0, 0]), [0, 7]);
  assert.deepEqual(scaleEnds("map", gate("g", 0, 1), 0, { softmax: false }, Float32Array.from([0.5, 0, 0]), null, []), [0, 0.5]);
});

test("bars of channels are at least five pixels wide, and the pointer finds them", () => {
  const plan = stripPlan(64, 100); // twenty bars fit in a row
  assert.deepEqual([plan.rows, plan.perRow, plan.step, plan.tall, plan.height], [4, 16, 6.25, 30, 148]);
  assert.equal(barAt(plan, 6.3, 0), 1);
  assert.equal(barAt(plan, 0, 37), 16);
  assert.equal(barAt(plan, 999, 999), 63);
});

test("a stretched map forgets where its cells lie", () => {
  const layer = { ...gate("g", 0, 1), frame: [0.25, 0.25, 0.5, 0.5], field: [4, 4], picture: [8, 8] };
  assert.deepEqual(fieldOf(layer, 0, usualView(), []).frame, [0.25, 0.25, 0.5, 0.5]);
  assert.deepEqual(fieldOf(layer, 0, { ...usualView(), stretch: true }, []).frame, [0, 0, 1, 1]);
  assert.deepEqual(fieldOf({ ...layer, frame: null }, 0, usualView(), []).frame, [0, 0, 1, 1]);
});

test("weight on the object counts cells where they lie, the outermost also beyond", () => {
  const values = Float32Array.from([0, 1, 0, 0]);
  const mask = new Uint8Array(64).fill(0);
  mask[7] = 1; // the upper right pixel: the upper right cell is the nearest, wherever the map lies
  mask[0 * 8 + 4] = 1; // just right of the middle
  assert.equal(weightInside(values, 2, 2, mask, 8, 8).weight, 2 / 16);
  const right = /** @type {const} */ ([0.5, 0, 1, 1]); // both columns lie in the right half
  assert.equal(weightInside(values, 2, 2, mask, 8, 8, right).weight, 1 / 8);
});

test("the tested epoch is marked at its step, also between two that were kept", () => {
  const steps = [0, 10, 20, 40, 80];
  assert.deepEqual([0, 10, 80, 5, 60].map((step) => placeOnTrack(steps, step)), [0, 1 / 4, 1, 1 / 8, 7 / 8]);
  assert.equal(placeOnTrack(steps, 99), 1);
});

// Three channels over two branches, 3 x 3 and 5 x 5; weights are codes over 255.
const branch = {
  ...{ name: "b", kind: "branch", scale: "softmax", moments: 1, rows: 3, length: 2, grid: [1, 2], queries: [1, 3], reference: null },
  branches: ["3 x 3", "5 x 5"],
  codes: Uint8Array.from([51, 204, 255, 0, 102, 153]),
  floor: new Float32Array(3),
  peak: Float32Array.from([1, 1, 1]),
};

test("of branches it is said which wins in which channel, by its name, and with what share", () => {
  assert.equal(fieldOf(branch, 0, usualView(), []), null); // branches have no places
  assert.deepEqual([...winnersOf(branch, 0).winners], [1, 0, 1]);
  assert.deepEqual(branchFacts(branch, 0).map(({ words }) => words), [
    "5 x 5: largest share in 2 of 3 channels, mean share 0.467",
    "3 x 3: largest share in 1 of 3 channels, mean share 0.533",
  ]);
  assert.equal(sharesInWords(branch, 0, 0), "5 x 5 0.8, 3 x 3 0.2");
  assert.equal(sharesInWords({ ...branch, branches: [] }, 0, 1), "branch 1 1, branch 2 0");
});

test("the shares of a channel are stacked to a full bar; too many of them are not", () => {
  const bars = stackOf(branch, 0, 0, Uint32Array.from({ length: 256 }, (_, level) => level));
  assert.deepEqual(bars.map(({ share }) => share.toFixed(2)), ["1.00", "0.20"]);
  assert.ok(bars[0].colour !== bars[1].colour);
  assert.ok(isStacked(branch) && !isStacked({ ...branch, length: 9 }) && !isStacked(pairs));
});

test("the heads of one attention are found among the layers, and one head alone is no grid", () => {
  const names = ["a.tap#h1", "a.tap#h2", "b.tap#h1", "c.tap"];
  const layers = names.map((name) => ({ ...pairs, name }));
  assert.deepEqual(headsOf(layers[1], layers).map(({ name }) => name), ["a.tap#h1", "a.tap#h2"]);
  assert.deepEqual([layers[2], layers[3], null].map((layer) => headsOf(layer, layers).length), [0, 0, 0]);
});

const map = (name, unit = "") => ({ name, title: `block 1 · ${unit || name}`, unit });

test("the maps of a block stand beside what is made of them, with the signs of how", () => {
  const [rows, columns, product] = [map("a.coordinate.rows.tap"), map("a.coordinate.columns.tap"), map("a.coordinate.product", "product")];
  const other = map("b.coordinate.rows.tap");
  const words = (layer, layers) => membersOf(layer, layers).map(({ sign, words }) => `${sign}${words}`);
  const layers = [rows, columns, other, product];
  for (const shown of [rows, product]) assert.deepEqual(words(shown, layers), ["rows", "×columns", "=product"]);
  assert.deepEqual(words(other, layers), []);
  const [heads, gathered] = [[1, 2].map((head) => map(`a.halo.tap#h${head}`)), map("a.halo.gathered", "gathered")];
  for (const shown of [heads[1], gathered]) assert.deepEqual(words(shown, [...heads, gathered]), ["1", "2", "→gathered"]);
  assert.deepEqual(words(gathered, [gathered]), [], "a map whose parts are too large to be sent stands alone");
  assert.deepEqual(words(map("tap"), [map("tap"), map("added", "added")]), ["tap", "→added"], "of a block that is no part of a network");
});

test("beside a derived map another network shows the map that lies as deep as its parts", () => {
  const first = ["a.dual.position.tap", "a.dual.channel.tap", "b.dual.position.tap", "b.dual.channel.tap"].map((name) => map(name));
  const [added, deeper] = [map("a.dual.added", "added"), map("b.dual.added", "added")];
  const layers = [...first, added, deeper];
  const others = ["a.eca.tap", "b.eca.tap"].map((name) => map(name));
  assert.equal(layerBeside(layers, deeper, others).name, "b.eca.tap");
  assert.equal(layerBeside(layers, added, others).name, "a.eca.tap");
  assert.equal(layerBeside(layers, first[3], [...others, map("a.dual.added", "added")]).name, "b.eca.tap");
  assert.equal(layerBeside(layers, added, [...others, map("a.dual.added", "added")]).name, "a.dual.added");
});
