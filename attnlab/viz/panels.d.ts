// What `pack` in panels.py writes, for the JavaScript that reads it. An offset counts bytes in the one flat array that
// comes with the description; every array begins at a multiple of four.

export type Kind = "channel" | "spatial" | "element" | "pairwise" | "branch";
export type Scale = "gate" | "softmax" | "factor";
export type Grid = [height: number, width: number];
export type Frame = [left: number, top: number, right: number, bottom: number];

export interface PackedPanels {
  version: 1;
  panels: PackedPanel[];
}

export interface PackedPanel {
  title: string;
  subtitle: string;
  /** CSS colour that stands for the run, or empty */
  colour: string;
  /** id of the run, or empty */
  run: string;
  image: PackedImage;
  classes: string[];
  /** index of the true class, null when unknown */
  truth: number | null;
  /** T training steps */
  steps: number[];
  /** the step at the end of the epoch that was tested, null where there is none */
  tested: number | null;
  layers: PackedLayer[];
  /** offset of uint8 (H, W), 1 on the object */
  mask?: number;
  probabilities?: PackedTable;
}

export interface PackedImage {
  width: number;
  height: number;
  /** offset of uint8 (H, W, 3) */
  at: number;
}

export interface PackedTable {
  /** 1 or T */
  rows: number;
  /** offset of float32 (rows, classes) */
  at: number;
}

export interface PackedLayer {
  name: string;
  title: string;
  kind: Kind;
  scale: Scale;
  /** 1 or T */
  moments: number;
  rows: number;
  length: number;
  /** offset of uint8 (moments, rows, length): weight = floor + code / 255 * (peak - floor) */
  codes: number;
  /** offset of float32 (moments, rows) */
  floor: number;
  /** offset of float32 (moments, rows) */
  peak: number;
  /** of one row */
  grid: Grid;
  /** of the rows */
  queries: Grid;
  /** least and greatest weight over many images */
  reference: [low: number, high: number] | null;
  /** how many neighbouring channels decide a gate, or 0 */
  window: number;
  note: string;
  /** what a value of a map is called that no tap makes; empty for the maps of taps */
  unit: string;
  /** what the branches of a branch map are called, or none */
  branches: string[];
  /** the rectangle that the cells fill, in shares of the picture; null where that is not known, and for channels */
  frame: Frame | null;
  /** what one cell sees, in pixels of a picture of the size below */
  field: [height: number, width: number] | null;
  picture: [height: number, width: number];
  /** the weight that changes nothing; null where no weight does */
  neutral: number | null;
  features: PackedLayer | null;
  /** what the class token attends to, as a spatial layer; null where there is none */
  class_token: PackedLayer | null;
}
