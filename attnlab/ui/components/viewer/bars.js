// A part of the attention viewer: the bars that choose a map and a training step, and the list of keys.

const FEW_LAYERS = 10; // as buttons; more become a menu
const MOST_BESIDE = 24; // maps side by side

Object.assign(Viewer.prototype, {
  buildLayerBar() {
    const bar = element("div", "layers");
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Map");
    const few = this.layers.length <= FEW_LAYERS;
    const choice = few ? this.buildLayerButtons() : this.buildLayerMenu();
    const all = element("button", "", "all side by side");
    all.type = "button";
    all.hidden = this.layers.length > MOST_BESIDE;
    all.addEventListener("click", () => this.showAll(!this.state.all));
    bar.append(choice, all);
    this.syncs.push(() => all.setAttribute("aria-pressed", String(this.state.all)));
    return bar;
  },

  buildLayerButtons() {
    const row = element("div", "choices");
    const buttons = this.layers.map((layer, index) => {
      const button = element("button", "", layer.title);
      button.type = "button";
      button.title = `${layer.title}: ${KIND_WORDS[layer.kind]}`;
      button.addEventListener("click", () => this.showLayer(index));
      return button;
    });
    row.append(...buttons);
    this.syncs.push(() => {
      buttons.forEach((button, index) => {
        const pressed = String(!this.state.all && this.layerIndex === index);
        if (button.getAttribute("aria-pressed") === pressed) return;
        button.setAttribute("aria-pressed", pressed);
        if (pressed === "true") row.scrollLeft = button.offsetLeft - row.offsetLeft - (row.clientWidth - button.offsetWidth) / 2;
      });
    });
    return row;
  },

  buildLayerMenu() {
    const row = element("div", "choices");
    const select = element("select");
    select.setAttribute("aria-label", "Map");
    this.layers.forEach((layer, index) => {
      const option = element("option", "", `${layer.title} (${KIND_WORDS[layer.kind]})`);
      option.value = String(index);
      select.append(option);
    });
    select.addEventListener("change", () => this.showLayer(Number(select.value)));
    const step = (by, text, words) => {
      const button = pusher(text, () => this.showLayer(this.layerIndex + by), words);
      button.setAttribute("aria-label", words);
      return button;
    };
    row.append(step(-1, "‹", "Map before"), select, step(1, "›", "Map after"));
    this.syncs.push(() => (select.value = String(this.layerIndex)));
    return row;
  },

  buildTimeBar() {
    const bar = element("div", "time");
    const play = element("button", "play");
    play.type = "button";
    play.addEventListener("click", () => this.play(!this.playing));
    const input = element("input");
    Object.assign(input, { type: "range", min: 0, max: this.steps.length - 1, step: 1 });
    input.setAttribute("aria-label", "Training step");
    input.addEventListener("input", () => {
      this.playing = false;
      this.toStep(Number(input.value));
    });
    input.addEventListener("change", () => this.commit());
    const output = element("output");
    bar.append(play, input, output);
    this.syncs.push(() => {
      const at = this.stepIndex();
      if (input.value !== String(at)) input.value = String(at);
      fillTrack(input);
      const words = `step ${this.steps[at].toLocaleString("en")} of ${this.steps.at(-1).toLocaleString("en")}`;
      if (output.textContent !== words) {
        output.textContent = words;
        input.setAttribute("aria-valuetext", words);
      }
      const mark = this.playing ? "❙❙" : "▶";
      if (play.textContent !== mark) {
        play.textContent = mark;
        play.setAttribute("aria-label", this.playing ? "Pause" : "Play the training");
      }
    });
    return bar;
  },

  buildHelp() {
    const help = element("dl", "help");
    help.hidden = !this.helpShown;
    for (const [keys, words] of KEYS) {
      const line = element("div");
      line.append(element("dt", "", keys), element("dd", "", words));
      help.append(line);
    }
    return help;
  },
});
