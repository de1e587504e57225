// What the picture of large maps computes, without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fromHalf, nameOf, questionOf, readAnswer, timesUniform } from "../../attnlab/ui/components/large_maps/answer.js";
import { linkWithState, stateFromLink } from "../../attnlab/ui/components/large_maps/state.js";

test("half floats are read from their bits", () => {
  assert.equal(fromHalf(0x0000), 0);
  assert.equal(fromHalf(0x3c00), 1);
  assert.equal(fromHalf(0x3800), 0.5);
  assert.equal(fromHalf(0x3555), 0.333251953125); // the nearest to 1/3
  assert.equal(fromHalf(0x7bff), 65504); // the greatest
  assert.equal(fromHalf(0x0400), 2 ** -14); // the least with a full fraction
  assert.equal(fromHalf(0x0001), 2 ** -24); // the least of all
});

test("an answer is its peak times the shares, with its least and greatest weight", () => {
  // little-endian halves: 0.25, 1, 0, 1
  const shares = Buffer.from([0x00, 0x34, 0x00, 0x3c, 0x00, 0x00, 0x00, 0x3c]).toString("base64");
  const { weights, best, low, high } = readAnswer({ peak: 8, shares }, [2, 2]);
  assert.deepEqual([...weights], [2, 8, 0, 8]);
  assert.deepEqual([best, low, high], [1, 0, 8]); // the first of two
});

test("an answer is found by the question it belongs to", () => {
  const question = { layer: 1, row: 3, col: 7, column: true, head: -1 };
  assert.equal(nameOf(questionOf({ layer: 1, place: [3, 7], column: true, head: null, peak: 1, shares: "" })), nameOf(question));
  assert.notEqual(nameOf(question), nameOf({ ...question, head: 0 }));
  assert.notEqual(nameOf(question), nameOf({ ...question, column: false }));
});

test("a link brings the state back", () => {
  const pins = [{ u: 0.5139, v: 0.5139 }, { u: 0.25, v: 1 }];
  const state = { layer: 1, cursor: { u: 0.2083, v: 0.0972 }, pins, column: true, head: 1 };
  const href = linkWithState("http://host/inspect?run=abc", state);
  assert.equal(new URL(href).search, "?run=abc&rl=1&rq=0.2083_0.0972&rp=0.5139_0.5139%7E0.2500_1.0000&rc=1&rh=2");
  assert.deepEqual(stateFromLink(new URL(href).search, 3), state);
});

test("what is as usual is left out of the link, but for the position", () => {
  const state = stateFromLink("", 3);
  assert.deepEqual(state, { layer: 0, cursor: { u: 0.5, v: 0.5 }, pins: [], column: false, head: -1 });
  assert.equal(new URL(linkWithState("http://host/?rl=2&rh=1&rc=1&rp=0_0", state)).search, "?rq=0.5000_0.5000");
});

test("nonsense in a link is ignored, and pins beyond the most are dropped", () => {
  const usual = stateFromLink("", 3);
  assert.deepEqual(stateFromLink("?rl=x&rq=2_3&rp=0.5&rc=yes&rh=two", 3), usual);
  assert.equal(stateFromLink("?rp=0_0~0_1~1_0~1_1", 3).pins.length, 3);
  assert.equal(stateFromLink("?rh=0", 3).head, -1);
});

test("weights are said with two digits, large ones with one", () => {
  assert.equal(timesUniform(0.5), "0.50× uniform");
  assert.equal(timesUniform(22.34), "22.3× uniform");
});
