// What the viewer computes, without a browser. Run by test_viewer_payload.py, which names the joined module in VIEWER.
import assert from "node:assert/strict";
import { test } from "node:test";

const viewer = await import(process.env.VIEWER);

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
  ...{ name, kind: "spatial", scale: "gate", moments: 1, rows: 1, length: 4, grid: [2, 2], queries: [1, 1], reference: null },
  codes: Uint8Array.from([0, 255, 0, 0]),
  floor: Float32Array.from([low]),
  peak: Float32Array.from([high]),
});

test("a row is where a position looks, a column who looks at it", () => {
  assert.deepEqual([...viewer.rowWeights(pairs, 0, 1)], [0.25, 0.25, 0.25, 0.25]);
  assert.deepEqual([...viewer.columnWeights(pairs, 0, 1)], [0, 0.25, 1, 0.5]);
  assert.deepEqual([...viewer.meanWeights(pairs, 0, [0, 2])], [0.5, 0.5, 0, 0]);
});

test("entropy is 1 for uniform weights and 0 for a single position", () => {
  const seen = [...viewer.entropyMap(pairs, 0)];
  assert.deepEqual(seen.map((value) => Number(value.toFixed(6))), [0, 1, 0, 0.5]);
});

test("softmax weights are shown as multiples of uniform, gates as they are", () => {
  const usual = viewer.usualView();
  const field = viewer.fieldOf(pairs, 0, usual, [{ u: 0.9, v: 0.1 }]); // the upper right query
  assert.deepEqual([...field.compute()], [1, 1, 1, 1]);
  assert.deepEqual([...viewer.fieldOf(gate("g", 0.2, 0.5), 0, usual, []).compute()].map((v) => v.toFixed(1)), ["0.2", "0.5", "0.2", "0.2"]);
});

test("leaving out neighbours takes the query's own cell away and keeps the rest", () => {
  const field = viewer.fieldOf(pairs, 0, { ...viewer.usualView(), near: 1 }, [{ u: 0.1, v: 0.9 }]); // query 2 looks at key 1
  assert.deepEqual([...field.compute()], [0, 4, 0, 0]);
  const own = viewer.fieldOf(pairs, 0, { ...viewer.usualView(), near: 1 }, [{ u: 0.1, v: 0.1 }]); // query 0 looks at itself
  assert.deepEqual([...own.compute()], [0, 0, 0, 0]);
});

test("the colour scale is fixed unless stretching is chosen", () => {
  const first = gate("a", 0.2, 0.5);
  const deeper = gate("b", 0.1, 0.9);
  const elsewhere = { layers: [{ ...gate("a", 0.4, 0.7), reference: [0.05, 0.6] }] };
  const panel = { layers: [first, deeper] };
  const ends = (scope) => viewer.scaleEnds(scope, first, 0, { softmax: false }, Float32Array.from([0.2, 0.5]), panel, [panel, elsewhere]);
  const near = (seen, wanted) => seen.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) < 1e-6, `${seen} is not ${wanted}`));
  near(ends("absolute"), [0, 1]);
  near(ends("map"), [0.2, 0.5]);
  near(ends("image"), [0.1, 0.9]);
  near(ends("layer"), [0.05, 0.7]);
  assert.equal(viewer.scaleEnds("absolute", pairs, 0, { softmax: true }, [], panel, [panel])[1], 4);
});

test("quantiles lie on straight lines between order statistics", () => {
  assert.equal(viewer.quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(viewer.quantile([4, 1, 3, 2], 1), 4);
});

test("bilinear drawing keeps the weights at pixel centres and never leaves their range", () => {
  const fine = viewer.upsample(Float32Array.from([0, 1]), 1, 2, 1, 4);
  assert.deepEqual([...fine], [0, 0.25, 0.75, 1]);
});

test("a contour crosses a ramp where the ramp has the level", () => {
  const lines = viewer.contourLines([0, 1, 0, 1], 2, 2, 0.25);
  assert.deepEqual(lines, [0.375, 0.25, 0.375, 0.75]); // pixel centres at 0.25 and 0.75
});

test("weight on the object is compared with the object's area", () => {
  const { weight, area } = viewer.weightInside([3, 1, 0, 0], 2, 2, [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 4);
  assert.equal(weight, 0.75);
  assert.equal(area, 0.25);
});

test("what lies below the cut gets no colour, and gamma bends the rest", () => {
  const plain = viewer.colourIndex(1, 0.5);
  assert.equal(plain[127], -1);
  assert.equal(plain[128], 128);
  assert.equal(viewer.colourIndex(2, 0)[128], Math.round(255 * (128 / 255) ** 2));
});

test("a link brings the view back, leaves out what is as usual, and ignores nonsense", () => {
  const view = { ...viewer.usualView(), layer: 2, gamma: 1.5, blend: "contour", pins: [{ u: 0.25, v: 0.5 }, { u: 0.75, v: 0.125 }] };
  const href = viewer.linkWithView("http://host/inspect?run=abc&op=0.3", view);
  assert.equal(new URL(href).searchParams.get("run"), "abc");
  assert.equal(new URL(href).searchParams.has("op"), false);
  assert.deepEqual({ ...viewer.usualView(), ...viewer.viewFromLink(new URL(href).search) }, view);
  assert.deepEqual(viewer.viewFromLink("?op=7&cm=rainbow&ly=&px=2_3&ga=abc"), { opacity: 1 });
});

test("numbers have the digits that one byte a weight warrants", () => {
  assert.equal(viewer.precisionOf(pairs, 0, [3]), 0.5 / 510);
  assert.equal(viewer.formatTo(4 / 7, 1 / 510), "0.57");
  assert.equal(viewer.formatTo(0.50123, 0.002 / 510), "0.50123");
  assert.equal(viewer.formatTo(0.0004, 1 / 510), "< 0.01");
  assert.equal(viewer.formatTo(0, 1 / 510), "0.00");
});

test("a time-lapse shows the last snapshot not later than the step", () => {
  assert.equal(viewer.momentAt([0, 1, 5, 40], 39), 2);
  assert.equal(viewer.momentAt([0, 1, 5, 40], Infinity), 3);
});

test("the true class is among the bars, however improbable", () => {
  assert.deepEqual(viewer.shownClasses([[0.1, 0.5, 0.3, 0.1]], 2, 3), [1, 3]);
});

test("an offline payload is read by Python's description", async () => {
  const { readFile, writeFile } = await import("node:fs/promises");
  const meta = JSON.parse(await readFile(process.env.META, "utf8"));
  const panels = viewer.decodePanels(meta, new Uint8Array(await readFile(process.env.BYTES)));
  const told = panels.map((panel) => ({
    pixels: [...panel.pixels],
    mask: panel.mask && [...panel.mask],
    probabilities: panel.probabilities.map((row) => [...row]),
    layers: panel.layers.map((layer) =>
      Array.from({ length: layer.moments }, (_, moment) => Array.from({ length: layer.rows }, (_, row) => [...viewer.rowWeights(layer, moment, row)])),
    ),
  }));
  await writeFile(process.env.TOLD, JSON.stringify(told));
});
