// @ts-check
// Canvases and their pixels. A pixel is packed as one number, little endian: alpha, blue, green, red.

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export function contextOf(canvas, settings) {
  const context = canvas.getContext("2d", settings);
  if (!context) throw new Error("the browser has no 2D canvas");
  return context;
}

/**
 * @param {number} width
 * @param {number} height
 */
export function newCanvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/**
 * @param {number} red
 * @param {number} green
 * @param {number} blue
 */
export function opaque(red, green, blue) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * Writes packed pixels on a canvas, which gets their size.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint32Array<ArrayBuffer>} pixels
 * @param {number} height
 * @param {number} width
 */
export function putPixels(canvas, pixels, height, width) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength), width, height);
  contextOf(canvas).putImageData(image, 0, 0);
  return canvas;
}

/**
 * RGB bytes as packed pixels.
 * @param {Uint8Array} bytes
 */
export function pixelsOfRgb(bytes) {
  return Uint32Array.from({ length: bytes.length / 3 }, (_, at) => opaque(bytes[3 * at], bytes[3 * at + 1], bytes[3 * at + 2]));
}

/**
 * RGB bytes as a canvas.
 * @param {Uint8Array} bytes
 * @param {number} height
 * @param {number} width
 */
export function rgbCanvas(bytes, height, width) {
  return putPixels(newCanvas(width, height), pixelsOfRgb(bytes), height, width);
}

/**
 * The context of a canvas with the screen's own pixels, cleared, in CSS pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width in CSS pixels
 * @param {number} height
 * @param {number} [most] pixels of the canvas to one CSS pixel
 */
export function sharpContext(canvas, width, height, most = Infinity) {
  const ratio = Math.min(window.devicePixelRatio || 1, most);
  const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== tall) canvas.height = tall;
  const context = contextOf(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * A line that is seen on every colour: a wide dark one, and a thin bright one on it.
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path
 * @param {number} wide
 * @param {number} thin
 * @param {string} [dark]
 * @param {string} [bright]
 */
export function strokeTwice(context, path, wide, thin, dark = "#000", bright = "#fff") {
  context.lineWidth = wide;
  context.strokeStyle = dark;
  context.stroke(path);
  context.lineWidth = thin;
  context.strokeStyle = bright;
  context.stroke(path);
}
