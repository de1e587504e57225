// @ts-check
// The packed panels, as panels with typed arrays. A layer holds one byte per weight.

/** @import { PackedLayer, PackedPanel, PackedPanels } from "../../../viz/panels" */

/**
 * @typedef {Omit<PackedLayer, "codes" | "floor" | "peak" | "features" | "class_token"> & {
 *   codes: Uint8Array, floor: Float32Array, peak: Float32Array, features: Layer | null, class_token: Layer | null }} Layer
 */

/**
 * @typedef {Omit<PackedPanel, "image" | "layers" | "mask" | "probabilities"> & {
 *   width: number, height: number, pixels: Uint8Array, mask: Uint8Array | null, probabilities: Float32Array[], layers: Layer[] }} Panel
 */

/**
 * @param {PackedPanels} meta
 * @param {Uint8Array} bytes
 * @returns {Panel[]}
 */
export function decodePanels(meta, bytes) {
  const { buffer } = bytes.slice(); // its own buffer, so that float32 lies on multiples of four
  const codes = (/** @type {number} */ at, /** @type {number} */ length) => new Uint8Array(buffer, at, length);
  const floats = (/** @type {number} */ at, /** @type {number} */ length) => new Float32Array(buffer, at, length);
  /** @type {(layer: PackedLayer) => Layer} */
  const decodeLayer = (layer) => ({
    ...layer,
    codes: codes(layer.codes, layer.moments * layer.rows * layer.length),
    floor: floats(layer.floor, layer.moments * layer.rows),
    peak: floats(layer.peak, layer.moments * layer.rows),
    features: layer.features ? decodeLayer(layer.features) : null,
    class_token: layer.class_token ? decodeLayer(layer.class_token) : null,
  });
  return meta.panels.map(({ image, mask, probabilities, layers, ...panel }) => {
    const { width, height, at } = image;
    const classes = panel.classes.length;
    return {
      ...panel,
      width,
      height,
      pixels: codes(at, width * height * 3),
      mask: mask === undefined ? null : codes(mask, width * height),
      probabilities: Array.from({ length: probabilities?.rows ?? 0 }, (_, row) =>
        floats((probabilities?.at ?? 0) + row * classes * 4, classes),
      ),
      layers: layers.map(decodeLayer),
    };
  });
}
