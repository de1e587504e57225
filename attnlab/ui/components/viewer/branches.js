// @ts-check
// Weights over branches: for each channel, shares that sum to 1. A row of such a layer is a channel, a column a branch.
import { palette } from "../lib/colours.js";
import { element } from "../lib/dom.js";
import { formatNumber } from "../lib/numbers.js";
import { meanWeights, rowWeights } from "./maths.js";

/** @import { Card } from "./card.js" */
/** @import { Layer } from "./payload.js" */

const MOST_STACKED = 8; // more shares cannot be told apart in one bar

/**
 * Whether the bar of a channel shows the shares of all branches; else it shows that of the winner.
 * @param {Layer | null} layer
 */
export function isStacked(layer) {
  return layer?.kind === "branch" && layer.length <= MOST_STACKED;
}

/**
 * @param {Layer} layer
 * @param {number} branch
 */
export function branchName(layer, branch) {
  return layer.branches[branch] ?? `branch ${branch + 1}`;
}

/**
 * The place of a branch on the colour map, 0 to 255.
 * @param {number} branch
 * @param {number} count
 */
export function branchLevel(branch, count) {
  return Math.round(255 * (0.2 + (0.7 * branch) / Math.max(count - 1, 1)));
}

/**
 * The branch with the largest share in each channel, and that share.
 * @param {Layer} layer
 * @param {number} moment
 */
export function winnersOf(layer, moment) {
  const winners = new Uint16Array(layer.rows);
  const shares = new Float32Array(layer.rows);
  for (let channel = 0; channel < layer.rows; channel++) {
    rowWeights(layer, moment, channel).forEach((share, branch) => {
      if (share <= shares[channel]) return;
      shares[channel] = share;
      winners[channel] = branch;
    });
  }
  return { winners, shares };
}

/**
 * How many channels each branch wins, most first, and its mean share.
 * @param {Layer} layer
 * @param {number} moment
 */
export function standings(layer, moment) {
  const { winners } = winnersOf(layer, moment);
  const means = meanWeights(layer, moment, Array.from(winners, (_, channel) => channel));
  const won = new Array(layer.length).fill(0);
  for (const branch of winners) won[branch]++;
  return won.map((count, branch) => ({ branch, won: count, mean: means[branch] })).sort((a, b) => b.won - a.won || b.mean - a.mean);
}

/**
 * One sentence for each branch that is shown.
 * @param {Layer} layer
 * @param {number} moment
 */
export function branchFacts(layer, moment) {
  return standings(layer, moment)
    .slice(0, isStacked(layer) ? layer.length : 3)
    .map(({ branch, won, mean }) => ({
      branch,
      words: `${branchName(layer, branch)}: largest share in ${won} of ${layer.rows} channels, mean share ${formatNumber(mean)}`,
    }));
}

/**
 * The shares of one channel in words, the largest first.
 * @param {Layer} layer
 * @param {number} moment
 * @param {number} channel
 */
export function sharesInWords(layer, moment, channel) {
  return Array.from(rowWeights(layer, moment, channel), (share, branch) => ({ share, branch }))
    .sort((a, b) => b.share - a.share)
    .slice(0, 3)
    .map(({ share, branch }) => `${branchName(layer, branch)} ${formatNumber(share)}`)
    .join(", ");
}

/** Which colour stands for which branch, and how it fares. */
export class BranchLegend {
  /** @param {Card} card */
  constructor(card) {
    this.card = card;
    this.root = element("ul", "branches");
    this.drawn = "";
  }

  draw() {
    const { card } = this;
    const { layer } = card;
    this.root.hidden = layer?.kind !== "branch";
    if (!layer || this.root.hidden) return;
    const { colours } = card;
    if (this.drawn === `${card.key}:${colours}`) return;
    this.drawn = `${card.key}:${colours}`;
    const { css } = palette(colours);
    this.root.replaceChildren(
      ...branchFacts(layer, card.shownMoment).map(({ branch, words }) => {
        const line = element("li", "", words);
        if (isStacked(layer)) line.style.setProperty("--swatch", css[branchLevel(branch, layer.length)]);
        return line;
      }),
    );
  }
}
