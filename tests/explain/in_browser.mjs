// Runs networks in files on pictures, as a page does: reads a list of cases, writes what came out of each as float32.
import { readFileSync, writeFileSync } from "node:fs";

import { Network } from "../../attnlab/ui/components/network/network.js";
import { editOf, scalarsOf } from "../../attnlab/ui/components/network/operations.js";

const [folder] = process.argv.slice(2);
for (const { network, picture, runs } of JSON.parse(readFileSync(`${folder}/cases.json`, "utf8"))) {
  const pixels = readFileSync(`${folder}/${picture}`);
  const content = new Uint8Array(readFileSync(`${folder}/${network}`));
  const networks = [false, true].map((plain) => (runs.some((run) => run.plain === plain) ? new Network(content, plain) : null));
  for (const { out, plain, intervention } of runs) {
    const made = networks[Number(plain)]; // the same for all runs: what one leaves behind must not show in the next
    if (intervention?.painted) {
      const weights = Float32Array.from(intervention.painted.weights, (weight) => weight ?? NaN);
      intervention.painted = { ...intervention.painted, weights };
    }
    const edit = intervention ? editOf(intervention) : null;
    const scalars = intervention ? scalarsOf(intervention, made.about.scalars) : {};
    made.looking = 0;
    const probabilities = made.run(pixels, edit, scalars);
    const all = [probabilities, ...made.maps, ...made.seen.slice(0, 1)].flatMap((numbers) => [...numbers]);
    writeFileSync(`${folder}/${out}`, Float32Array.from(all));
  }
}
