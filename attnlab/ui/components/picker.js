// A strip of small pictures of which one is chosen. The choice is sent when it is made; arrows move it.

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".picker");
  let strip = mounted.get(parentElement);
  if (!strip) {
    strip = { root };
    mounted.set(parentElement, strip);
    root.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const from = strip.buttons.indexOf(event.target.closest("button"));
      if (!by || from < 0 || !strip.buttons[from + by]) return;
      event.preventDefault();
      strip.buttons[from + by].focus();
      strip.buttons[from + by].click();
    });
  }
  strip.choose = (index) => {
    mark(strip, index);
    setStateValue("picked", index);
  };
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
    button.addEventListener("click", () => strip.choose(item.index));
    return button;
  });
  strip.root.replaceChildren(...strip.buttons);
}

function mark(strip, index) {
  for (const button of strip.buttons) {
    const chosen = Number(button.dataset.index) === index;
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
    if (chosen) {
      const hidden = button.offsetLeft < strip.root.scrollLeft || button.offsetLeft + button.offsetWidth > strip.root.scrollLeft + strip.root.clientWidth;
      if (hidden) strip.root.scrollLeft = button.offsetLeft - strip.root.clientWidth / 2;
    }
  }
}
