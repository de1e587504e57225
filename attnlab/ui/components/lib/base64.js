// @ts-check

/** @param {string} text */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes few enough to be the arguments of one call, some ten thousand */
export function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}
