// Probabilities before and after, two bars a class. Bars of a class that stays move to their new length.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".shift");
  const old = new Map([...root.querySelectorAll(".row")].map((row) => [row.dataset.name, row]));
  const rows = data.rows.map((entry) => {
    const row = old.get(entry.name) ?? build(entry.name);
    fill(row, entry, data.judged);
    return row;
  });
  const legend = root.querySelector(".legend") ?? make("div", "legend");
  legend.textContent = `Grey: before. Coloured: after${data.judged ? "; green and ticked is the true class" : ""}.`;
  root.replaceChildren(...rows, legend);
}

function build(name) {
  const row = make("div", "row");
  row.dataset.name = name;
  const tracks = make("div", "tracks");
  for (const side of ["before", "after"]) {
    const track = make("div", `track ${side}`);
    track.append(make("i"));
    tracks.append(track);
  }
  row.append(make("span", "name"), tracks, make("span", "numbers"));
  return row;
}

function fill(row, { name, before, after, truth, best }, judged) {
  row.className = ["row", truth && "true", best && "best", !judged && "unjudged"].filter(Boolean).join(" ");
  const words = row.querySelector(".name");
  words.replaceChildren(name);
  words.title = name;
  if (truth) words.append(make("span", "tick", " ✓"));
  row.querySelector(".before i").style.width = `${(100 * before).toFixed(1)}%`;
  row.querySelector(".after i").style.width = `${(100 * after).toFixed(1)}%`;
  row.querySelector(".numbers").textContent = `${before.toFixed(2)} → ${after.toFixed(2)}`;
}

function make(name, className = "", words = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (words) node.textContent = words;
  return node;
}
