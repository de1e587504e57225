// What Python packed is what the viewer reads. Run by a Python test, which names the files and compares the numbers.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";

import { Painting } from "../../attnlab/ui/components/mask_editor/painting.js";
import { toBase64 } from "../../attnlab/ui/components/lib/base64.js";
import { readAnswer } from "../../attnlab/ui/components/large_maps/answer.js";
import { rowWeights } from "../../attnlab/ui/components/viewer/maths.js";
import { decodePanels } from "../../attnlab/ui/components/viewer/payload.js";

const { META, BYTES, ANSWER, READ } = process.env;

test("Python and the browser agree on what travels", { skip: READ ? false : "Python did not name the files" }, async () => {
  const meta = JSON.parse(await readFile(META, "utf8"));
  const panels = decodePanels(meta, new Uint8Array(await readFile(BYTES))).map((panel) => ({
    pixels: [...panel.pixels],
    mask: panel.mask && [...panel.mask],
    probabilities: panel.probabilities.map((row) => [...row]),
    layers: panel.layers.map((layer) =>
      Array.from({ length: layer.moments }, (_, moment) => Array.from({ length: layer.rows }, (_, row) => [...rowWeights(layer, moment, row)])),
    ),
  }));
  assert.ok(panels.length);

  const answer = readAnswer(JSON.parse(await readFile(ANSWER, "utf8")), [2, 3]);

  const painting = new Painting([4, 5]);
  painting.resize(1);
  painting.stroke({ row: 1, column: 1 }, { row: 1, column: 3 });
  await writeFile(READ, JSON.stringify({ panels, weights: [...answer.weights], cells: toBase64(painting.cells) }));
});
