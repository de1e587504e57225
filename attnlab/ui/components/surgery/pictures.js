// @ts-check
// Pictures for a network: the one of the page, one from a file, or what the camera sees. No picture leaves the browser.
import { contextOf, newCanvas, opaque, putPixels } from "../lib/canvas.js";

/** @typedef {readonly [channels: number, height: number, width: number]} Shape */

/**
 * Bytes channel by channel as a canvas.
 * @param {Uint8Array} pixels
 * @param {Shape} shape
 */
export function canvasOf(pixels, [channels, height, width]) {
  const area = height * width;
  const part = (/** @type {number} */ channel, /** @type {number} */ at) => pixels[Math.min(channel, channels - 1) * area + at];
  const packed = Uint32Array.from({ length: area }, (_, at) => opaque(part(0, at), part(1, at), part(2, at)));
  return putPixels(newCanvas(width, height), packed, height, width);
}

/**
 * The middle of a picture, of the network's proportions and size.
 * @param {CanvasImageSource} source
 * @param {number} wide of the source, in pixels
 * @param {number} tall
 * @param {HTMLCanvasElement} canvas which is drawn on
 * @param {Shape} shape
 * @returns {Uint8Array} channel by channel
 */
export function cropped(source, wide, tall, canvas, [channels, height, width]) {
  const scale = Math.min(wide / width, tall / height);
  const [across, down] = [width * scale, height * scale];
  Object.assign(canvas, canvas.width === width && canvas.height === height ? {} : { width, height });
  const context = contextOf(canvas, { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, (wide - across) / 2, (tall - down) / 2, across, down, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const area = height * width;
  const pixels = new Uint8Array(channels * area);
  for (let at = 0; at < area; at++) {
    const [red, green, blue] = [data[4 * at], data[4 * at + 1], data[4 * at + 2]];
    if (channels === 1) pixels[at] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else [pixels[at], pixels[area + at], pixels[2 * area + at]] = [red, green, blue];
  }
  if (channels === 1) putPixels(canvas, Uint32Array.from(pixels, (grey) => opaque(grey, grey, grey)), height, width);
  return pixels;
}

/** The camera of the device, frame by frame. */
export class Camera {
  /** @param {(video: HTMLVideoElement) => void} each called for each frame */
  constructor(each) {
    this.each = each;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    this.asked = 0;
  }

  get on() {
    return this.stream !== null;
  }

  /** @returns {Promise<string>} what is in the way, in a sentence; empty when the camera is on */
  async start() {
    if (!navigator.mediaDevices) return "Browsers allow the camera only on pages with https or on localhost.";
    const asked = ++this.asked;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: "environment" } });
      if (asked !== this.asked) {
        stream.getTracks().forEach((track) => track.stop()); // it was stopped while the person was asked
        return "";
      }
      this.stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      this.stop();
      const name = error instanceof DOMException ? error.name : "";
      if (name === "NotAllowedError") return "The browser was not allowed to use the camera.";
      if (name === "NotFoundError") return "No camera was found.";
      return "The camera cannot be used. Perhaps another program uses it.";
    }
    this.next();
    return "";
  }

  next() {
    window.requestAnimationFrame(() => {
      if (!this.stream) return;
      if (this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) this.each(this.video);
      this.next();
    });
  }

  stop() {
    this.asked++;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }
}

/**
 * A picture of a file.
 * @param {File} file
 * @param {HTMLCanvasElement} canvas
 * @param {Shape} shape
 * @returns {Promise<Uint8Array | null>} null when it is no picture
 */
export async function fromFile(file, canvas, shape) {
  try {
    const picture = await createImageBitmap(file);
    const pixels = cropped(picture, picture.width, picture.height, canvas, shape);
    picture.close();
    return pixels;
  } catch {
    return null;
  }
}
