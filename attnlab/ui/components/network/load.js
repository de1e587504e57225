// @ts-check
// Networks that the server gives, by the name of their file.
import { Network } from "./network.js";

/**
 * @param {string} name
 * @returns {Promise<Network>}
 * @throws {Error} why there is none, as the end of a sentence that begins "because"
 */
export async function loadNetwork(name) {
  let content;
  try {
    const answer = await fetch(addressOf(name));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    content = new Uint8Array(await answer.arrayBuffer());
  } catch (error) {
    throw new Error(`its file did not arrive: ${error instanceof Error ? error.message : error}`);
  }
  return networkOf(content);
}

/**
 * @param {Uint8Array} content of a file
 * @throws {Error} as `loadNetwork`
 */
export function networkOf(content) {
  try {
    return new Network(content);
  } catch {
    throw new Error("this browser has too little memory for it, or is too old");
  }
}

/**
 * Where a network's file lies: beside the scripts of the page, wherever the app is mounted.
 * @param {string} name
 */
function addressOf(name) {
  const script = document.querySelector("script[src*='static/']");
  const base = script instanceof HTMLScriptElement ? script.src.replace(/static\/.*$/, "") : document.baseURI;
  return new URL(`networks/${name}`, base);
}
