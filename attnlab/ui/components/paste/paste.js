// Takes a picture from the clipboard, by Ctrl+V anywhere on the page or by the button, and sends its bytes as they are:
// what they mean is decided where every other picture is decoded.

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".paste");
  let box = mounted.get(parentElement);
  if (!box) {
    box = build(root);
    mounted.set(parentElement, box);
  }
  box.limit = data.limit;
  box.send = (value) => setStateValue("pasted", value);
  return () => {
    box.abort.abort();
    root.replaceChildren();
    mounted.delete(parentElement);
  };
}

function build(root) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Paste a picture" });
  const words = Object.assign(document.createElement("span"), { textContent: "or press Ctrl+V (⌘V)" });
  const said = Object.assign(document.createElement("span"), { className: "said" });
  said.setAttribute("aria-live", "polite");
  root.append(button, words, said);
  const box = { abort: new AbortController(), said };
  const { signal } = box.abort;
  document.addEventListener("paste", (event) => onPaste(box, event), { signal });
  button.addEventListener("click", () => onButton(box), { signal });
  return box;
}

function onPaste(box, event) {
  const target = event.composedPath()[0];
  if (/^(INPUT|TEXTAREA)$/.test(target.tagName) || target.isContentEditable) return; // text is meant for the field
  const file = [...event.clipboardData.items].find((item) => item.kind === "file")?.getAsFile();
  if (!file) {
    box.said.textContent = "The clipboard holds no picture.";
    return;
  }
  event.preventDefault();
  take(box, file);
}

async function onButton(box) {
  if (!navigator.clipboard?.read) {
    box.said.textContent = "This browser gives the clipboard only to Ctrl+V here.";
    return;
  }
  let items;
  try {
    items = await navigator.clipboard.read();
  } catch {
    box.said.textContent = "The browser did not give the clipboard; press Ctrl+V instead.";
    return;
  }
  for (const item of items) {
    const kind = item.types.find((type) => type.startsWith("image/"));
    if (kind) return take(box, await item.getType(kind));
  }
  box.said.textContent = "The clipboard holds no picture.";
}

async function take(box, file) {
  if (file.size > box.limit) {
    box.said.textContent = `This has ${(file.size / 1e6).toFixed(1)} MB; at most ${Math.round(box.limit / 1e6)} MB can be pasted.`;
    return;
  }
  box.said.textContent = "";
  const reader = new FileReader();
  reader.addEventListener("load", () => box.send(reader.result.slice(reader.result.indexOf(",") + 1)));
  reader.readAsDataURL(file);
}
