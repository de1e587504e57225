// A part of the attention viewer: state with its names in the link, and the controls.

// name: [default, short name in the link, how it is read from text]
const number = (low, high) => (text) => {
  const value = Number(text);
  return text !== "" && Number.isFinite(value) ? Math.min(Math.max(value, low), high) : undefined;
};
const oneOf = (known) => (text) => (known().includes(text) ? text : undefined);
const flag = (text) => (text === "1" ? true : text === "0" ? false : undefined);
const places = (text) => {
  const pins = text.split("~").map((pair) => pair.split("_").map(Number));
  return pins.every(([u, v]) => u >= 0 && u <= 1 && v >= 0 && v <= 1) ? pins.map(([u, v]) => ({ u, v })) : undefined;
};

export const VIEW = {
  layer: [null, "ly", number(0, 999)],
  all: [false, "al", flag],
  step: [null, "st", number(0, 1e12)],
  opacity: [0.6, "op", number(0, 1)],
  threshold: [0, "th", number(0, 1)],
  cut: ["value", "ct", oneOf(() => ["value", "percentile"])],
  gamma: [1, "ga", number(0.2, 5)],
  colours: ["viridis", "cm", oneOf(() => Object.keys(COLOUR_TABLES))],
  smooth: [true, "sm", flag],
  blend: ["heat", "bl", oneOf(() => ["heat", "reveal", "contour"])],
  scope: ["absolute", "sc", oneOf(() => Object.keys(SCOPES))],
  pair: ["row", "pr", oneOf(() => ["row", "column", "entropy"])],
  near: [0, "nx", number(0, 16)],
  channel: [null, "ch", number(0, 99999)],
  sorted: [false, "so", flag],
  mask: [true, "mk", flag],
  pins: [[], "px", places],
};

// The view that a link holds; what is unknown or out of range is ignored.
export function viewFromLink(search) {
  const given = new URLSearchParams(search);
  const view = {};
  for (const [name, [, short, read]] of Object.entries(VIEW)) {
    if (!given.has(short)) continue;
    const value = read(given.get(short));
    if (value !== undefined) view[name] = value;
  }
  return view;
}

// A link with the view in it; what is as usual is left out.
export function linkWithView(href, view) {
  const url = new URL(href);
  for (const [name, [usual, short]] of Object.entries(VIEW)) {
    const value = view[name];
    if (JSON.stringify(value) === JSON.stringify(usual)) url.searchParams.delete(short);
    else url.searchParams.set(short, textOf(value));
  }
  return url.href;
}

function textOf(value) {
  if (typeof value === "boolean") return value ? "1" : "0";
  if (Array.isArray(value)) return value.map(({ u, v }) => `${u.toFixed(3)}_${v.toFixed(3)}`).join("~");
  return typeof value === "number" ? String(Number(value.toFixed(3))) : value;
}

export function usualView() {
  return Object.fromEntries(Object.entries(VIEW).map(([name, [usual]]) => [name, Array.isArray(usual) ? [] : usual]));
}

// ---- controls --------------------------------------------------------------------------------------------------------
// Each keeps itself in step with the state: `sync` is called after every change, whoever made it.

// Colours the track up to the thumb.
export function fillTrack(input) {
  const share = (Number(input.value) - Number(input.min)) / (Number(input.max) - Number(input.min) || 1);
  input.style.setProperty("--at", `${(share * 100).toFixed(1)}%`);
}

function labelled(text, ...content) {
  const label = element("label", "control");
  label.append(element("span", "caption", text), ...content);
  return label;
}

function slider(viewer, name, text, { min, max, step, words, log = false, extra = [] }) {
  const input = element("input");
  input.type = "range";
  Object.assign(input, log ? { min: Math.log2(min), max: Math.log2(max), step } : { min, max, step });
  const output = element("output");
  input.setAttribute("aria-label", text);
  const box = element("div", "control"); // no <label>: it may hold a menu as well
  box.append(element("span", "caption", text), ...extra, output, input);
  input.addEventListener("input", () => viewer.set({ [name]: log ? 2 ** Number(input.value) : Number(input.value) }));
  input.addEventListener("change", () => viewer.commit());
  input.addEventListener("dblclick", () => viewer.set({ [name]: VIEW[name][0] }, true));
  const sync = () => {
    const value = viewer.state[name];
    const shown = String(log ? Math.log2(value) : value);
    if (input.value !== shown) input.value = shown;
    fillTrack(input);
    const said = words(value);
    if (output.textContent !== said) {
      output.textContent = said;
      input.setAttribute("aria-valuetext", said);
    }
  };
  return { node: box, sync };
}

function choice(viewer, name, text, options) {
  const select = element("select");
  for (const [value, title] of Object.entries(options)) {
    const option = element("option", "", title);
    option.value = value;
    select.append(option);
  }
  select.addEventListener("change", () => viewer.set({ [name]: select.value }, true));
  return { node: labelled(text, select), sync: () => (select.value = viewer.state[name]) };
}

// Buttons of which one is pressed.
function segments(viewer, name, text, options) {
  const box = element("div", "control");
  const row = element("div", "segments");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", text);
  const buttons = Object.entries(options).map(([value, title]) => {
    const button = element("button", "", title);
    button.type = "button";
    button.addEventListener("click", () => viewer.set({ [name]: value }, true));
    row.append(button);
    return [value, button];
  });
  box.append(element("span", "caption", text), row);
  if (Object.values(options).join("").length > 24) box.classList.add("wide");
  const sync = () => buttons.forEach(([value, button]) => button.setAttribute("aria-pressed", String(viewer.state[name] === value)));
  return { node: box, sync };
}

function toggle(viewer, name, text) {
  const button = element("button", "toggle", text);
  button.type = "button";
  button.addEventListener("click", () => viewer.set({ [name]: !viewer.state[name] }, true));
  return { node: button, sync: () => button.setAttribute("aria-pressed", String(viewer.state[name])) };
}

function pusher(text, action, title) {
  const button = element("button", "push", text);
  button.type = "button";
  if (title) button.title = title;
  button.addEventListener("click", action);
  return button;
}

const percent = (value) => `${Math.round(value * 100)} %`;

// The controls under the cards. Those that belong to one kind of map are hidden while no such map is shown.
export function buildDock(viewer) {
  const dock = element("div", "dock");
  const cut = choice(viewer, "cut", "What the share is of", { value: "of scale", percentile: "of cells" });
  const cutMenu = cut.node.querySelector("select");
  cutMenu.className = "inline";
  cutMenu.setAttribute("aria-label", "What the hidden share is of");
  const parts = [
    slider(viewer, "opacity", "Opacity", { min: 0, max: 1, step: 0.01, words: percent }),
    slider(viewer, "gamma", "Gamma", { min: 0.25, max: 4, step: 0.05, log: true, words: (value) => value.toFixed(2) }),
    slider(viewer, "threshold", "Hide lowest", { min: 0, max: 1, step: 0.01, words: percent, extra: [cutMenu] }),
    segments(viewer, "blend", "Draw as", { heat: "heat", reveal: "reveal", contour: "contour" }),
    choice(viewer, "colours", "Colours", Object.fromEntries(Object.entries(COLOUR_TABLES).map(([name, { title }]) => [name, title]))),
    choice(viewer, "scope", "Scale", SCOPES),
  ];
  const pair = [
    segments(viewer, "pair", "Show", { row: "where it looks", column: "who looks at it", entropy: "entropy" }),
    slider(viewer, "near", "Leave out neighbours", { min: 0, max: 8, step: 1, words: (value) => (value ? `within ${value - 1}` : "none") }),
  ];
  const grid = element("div", "grid");
  grid.append(...parts.map((part) => part.node), ...pair.map((part) => part.node));
  const smooth = toggle(viewer, "smooth", "smooth");
  const mask = toggle(viewer, "mask", "object outline");
  const sorted = toggle(viewer, "sorted", "sort channels");
  const mean = pusher("mean of channels", () => viewer.set({ channel: null }, true));
  const unpin = pusher("unpin", () => viewer.set({ pins: [] }, true), "Remove the pinned positions");
  const row = element("div", "row");
  const help = pusher("keys", () => viewer.toggleHelp(), "Keyboard");
  help.setAttribute("aria-expanded", "false");
  const reset = pusher("reset", () => viewer.set({ ...usualView(), layer: viewer.state.layer }, true), "Back to the usual view");
  const link = pusher("copy link", () => viewer.copyLink(link), "Copy a link to this very view");
  link.hidden = !viewer.options.link;
  const saving = element("span", "saving");
  const widths = element("select", "inline");
  widths.setAttribute("aria-label", "Width of the saved picture");
  for (const width of PICTURE_WIDTHS) widths.append(Object.assign(element("option", "", `${width} px`), { value: width }));
  widths.value = "1024";
  const png = pusher("save PNG", () => viewer.savePicture(Number(widths.value)), "Save all cards with their scales as one picture");
  const gif = pusher("save GIF", () => viewer.saveTimeLapse(gif), "Save the time-lapse as a moving picture");
  gif.hidden = viewer.steps.length < 2;
  saving.append(png, widths, gif);
  row.append(smooth.node, mask.node, sorted.node, mean, unpin, element("span", "space"), help, reset, link, saving);
  dock.append(grid, row);
  const sync = () => {
    for (const part of [...parts, cut, ...pair, smooth, mask, sorted]) part.sync();
    const kinds = new Set(viewer.cards.map((card) => card.layer?.kind));
    for (const part of pair) part.node.hidden = !kinds.has("pairwise");
    unpin.hidden = !kinds.has("pairwise") || !viewer.state.pins.length;
    sorted.node.hidden = !kinds.has("channel") && !kinds.has("element");
    mean.hidden = !kinds.has("element") || viewer.state.channel === null;
    mask.node.hidden = !viewer.panels.some((panel) => panel.mask);
    help.setAttribute("aria-expanded", String(viewer.helpShown));
  };
  return { node: dock, sync };
}

export const KEYS = [
  ["← ↑ → ↓", "move the cross-hair, or along the channels"],
  ["Enter, p", "pin the position (Shift: one more)"],
  ["Esc, x", "remove the pins"],
  ["[ ]", "previous, next map; a shows all"],
  [", .", "previous, next training step; space plays"],
  ["o O", "less, more opacity"],
  ["t T", "hide less, more; % of the scale or of the cells"],
  ["g G", "less, more gamma"],
  ["c", "next colours"],
  ["b", "heat, reveal, contour"],
  ["s", "next scale"],
  ["i", "smooth or exact cells"],
  ["v", "pairs: row, column, entropy"],
  ["n N", "pairs: leave out fewer, more neighbours"],
  ["h", "channels in order or sorted"],
  ["k K", "channel by channel: previous, next"],
  ["m", "outline of the object"],
  ["0", "back to the usual view"],
];
