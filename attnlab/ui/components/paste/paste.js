// @ts-check
// Takes an image from the clipboard, by Ctrl+V anywhere on the page or by the button, and sends its bytes as they are:
// what they mean is decided where every other image is decoded.
import { button, element, find } from "../lib/dom.js";
import { mounted } from "../lib/mount.js";

/** @import { Call } from "../lib/mount.js" */

class PasteBox {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.limit = 0; // bytes
    /** @type {(content: string) => void} */
    this.send = () => {};
    this.message = element("span", "message");
    this.message.setAttribute("aria-live", "polite");
    const paste = button("Paste an image", () => this.read());
    root.append(paste, element("span", "", "or press Ctrl+V (⌘V)"), this.message);
    this.abort = new AbortController();
    document.addEventListener("paste", (event) => this.onPaste(event), { signal: this.abort.signal });
  }

  destroy() {
    this.abort.abort();
    this.root.replaceChildren();
  }

  /** @param {ClipboardEvent} event */
  onPaste(event) {
    const target = event.composedPath()[0];
    if (target instanceof HTMLElement && (/^(INPUT|TEXTAREA)$/.test(target.tagName) || target.isContentEditable)) return; // text is meant for the field
    const file = [...(event.clipboardData?.items ?? [])].find((item) => item.kind === "file")?.getAsFile();
    if (!file) {
      this.message.textContent = "The clipboard contains no image.";
      return;
    }
    event.preventDefault();
    this.take(file);
  }

  /** Asks the browser for the clipboard, which it may refuse. */
  async read() {
    if (!navigator.clipboard?.read) {
      this.message.textContent = "This browser only allows pasting with Ctrl+V here.";
      return;
    }
    /** @type {ClipboardItems} */
    let items;
    try {
      items = await navigator.clipboard.read();
    } catch {
      this.message.textContent = "The browser blocked access to the clipboard; press Ctrl+V instead.";
      return;
    }
    for (const item of items) {
      const kind = item.types.find((type) => type.startsWith("image/"));
      if (kind) return this.take(await item.getType(kind));
    }
    this.message.textContent = "The clipboard contains no image.";
  }

  /** @param {Blob} file */
  take(file) {
    if (file.size > this.limit) {
      const megabytes = (/** @type {number} */ bytes, /** @type {number} */ digits) => (bytes / 1e6).toFixed(digits);
      this.message.textContent = `This image is ${megabytes(file.size, 1)} MB; the limit is ${megabytes(this.limit, 0)} MB.`;
      return;
    }
    this.message.textContent = "";
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      const address = String(reader.result); // data:image/png;base64,...
      this.send(address.slice(address.indexOf(",") + 1));
    });
    reader.readAsDataURL(file);
  }
}

export default mounted(
  (root) => new PasteBox(find(root, ".paste", HTMLElement)),
  (box, /** @type {Call<{ limit: number }>} */ { data, setStateValue }) => {
    box.limit = data.limit;
    box.send = (content) => setStateValue("pasted", content);
  },
  (box) => box.destroy(),
);
