// A strip of small pictures of which one is chosen, or several: with Shift, or with the button for those who have none.
// The choice is sent when it is made; arrows move it.

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".picker");
  let strip = mounted.get(parentElement);
  if (!strip) {
    strip = { root, several: parentElement.querySelector(".several") };
    mounted.set(parentElement, strip);
    strip.several.addEventListener("click", () => {
      const on = strip.several.getAttribute("aria-pressed") !== "true";
      strip.several.setAttribute("aria-pressed", String(on));
      if (!on && strip.chosen.length > 1) strip.send([strip.chosen[0]]);
    });
    root.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const from = strip.buttons.indexOf(event.target.closest("button"));
      if (!by || from < 0 || !strip.buttons[from + by]) return;
      event.preventDefault();
      strip.buttons[from + by].focus();
      if (strip.most === 1 || strip.chosen.length === 1) strip.buttons[from + by].click();
    });
  }
  strip.most = data.most;
  strip.send = (chosen) => {
    mark(strip, chosen);
    setStateValue("picked", chosen);
  };
  strip.several.hidden = data.most === 1;
  if (data.most === 1) strip.several.setAttribute("aria-pressed", "false");
  if (data.chosen.length > 1) strip.several.setAttribute("aria-pressed", "true");
  root.setAttribute("aria-multiselectable", String(data.most > 1));
  if (strip.id !== data.id) build(strip, data);
  mark(strip, data.chosen);
  return () => mounted.delete(parentElement);
}

function build(strip, data) {
  strip.id = data.id;
  const bytes = data.bytes.getChildAt(0).toArray();
  const { side } = data;
  strip.buttons = data.items.map((item, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "option");
    button.dataset.index = item.index;
    button.title = item.title;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const pixels = new ImageData(side, side);
    for (let i = 0, from = place * side * side * 3; i < pixels.data.length; i += 4, from += 3) {
      pixels.data.set(bytes.subarray(from, from + 3), i);
      pixels.data[i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const words = document.createElement("span");
    words.textContent = item.words;
    if (item.right !== null) words.className = item.right ? "right" : "wrong";
    button.append(canvas, words);
    button.addEventListener("click", (event) => choose(strip, item.index, event.shiftKey));
    return button;
  });
  strip.root.replaceChildren(...strip.buttons);
}

// One picture, or one more or less beside the others.
function choose(strip, index, more) {
  const adding = strip.most > 1 && (more || strip.several.getAttribute("aria-pressed") === "true");
  const others = strip.chosen.filter((other) => other !== index);
  if (!adding) strip.send([index]);
  else if (others.length < strip.chosen.length) strip.send(others.length ? others : [index]);
  else strip.send([...strip.chosen.slice(0, strip.most - 1), index]);
}

function mark(strip, chosen) {
  strip.chosen = chosen;
  for (const button of strip.buttons) {
    const index = Number(button.dataset.index);
    const first = index === chosen[0];
    button.setAttribute("aria-selected", String(chosen.includes(index)));
    button.tabIndex = first ? 0 : -1;
    if (first) {
      const hidden = button.offsetLeft < strip.root.scrollLeft || button.offsetLeft + button.offsetWidth > strip.root.scrollLeft + strip.root.clientWidth;
      if (hidden) strip.root.scrollLeft = button.offsetLeft - strip.root.clientWidth / 2;
    }
  }
}
