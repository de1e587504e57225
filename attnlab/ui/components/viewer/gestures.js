// A part of the attention viewer: pointer and keyboard.

Object.assign(Viewer.prototype, {
  // ---- pointer ------------------------------------------------------------------------------------------------------

  listen(card) {
    const place = (event) => {
      const box = card.stage.getBoundingClientRect();
      const share = (at, size) => Math.min(Math.max(at / size, 0), 0.9999);
      return { u: share(event.clientX - box.left, box.width), v: share(event.clientY - box.top, box.height) };
    };
    const move = (event) => {
      this.hover = this.lastHover = place(event);
      this.schedule();
    };
    card.stage.addEventListener("pointerdown", move);
    card.stage.addEventListener("pointermove", move);
    card.stage.addEventListener("pointerleave", () => {
      this.hover = null;
      this.schedule();
    });
    card.stage.addEventListener("click", (event) => this.pin(place(event), event.shiftKey));
    const channel = (event) => {
      const box = card.strip.getBoundingClientRect();
      return card.channelAt(event.clientX - box.left, event.clientY - box.top);
    };
    const point = (event) => {
      this.hoverChannel = channel(event);
      this.schedule();
    };
    card.strip.addEventListener("pointerdown", point);
    card.strip.addEventListener("pointermove", point);
    card.strip.addEventListener("pointerleave", () => {
      this.hoverChannel = null;
      this.schedule();
    });
    card.strip.addEventListener("click", (event) => {
      if (card.layer.kind === "element") this.set({ channel: channel(event) }, true);
    });
  },

  // Pins a position, or takes the pin away that is already there.
  pin(at, more) {
    const same = (other) => Math.hypot(other.u - at.u, other.v - at.v) < 0.02;
    const { pins } = this.state;
    if (pins.some(same)) this.set({ pins: pins.filter((other) => !same(other)) }, true);
    else this.set({ pins: more ? [...pins, at] : [at] }, true);
  },

  // ---- keyboard -----------------------------------------------------------------------------------------------------

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tag = event.composedPath()[0].tagName;
    if (tag === "SELECT" || (tag === "INPUT" && /^(Arrow|Home|End|Page|Tab)/.test(event.key))) return;
    if (tag === "BUTTON" && (event.key === "Enter" || event.key === " ")) return;
    const action = this.actionOf(event);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation(); // the app has its own single keys, such as c and r
    action();
    const card = this.cards.find((each) => each.stage === event.composedPath()[0]) ?? this.cards[0];
    card.prepare();
    this.spoken.textContent = card.readoutWords();
  },

  actionOf({ key, shiftKey }) {
    const { state } = this;
    const shift = (name, by) => () => {
      const [, , read] = VIEW[name];
      this.set({ [name]: read(String(Number((state[name] + by).toFixed(3)))) }, true);
    };
    const next = (name, values) => () => this.set({ [name]: values[(values.indexOf(state[name]) + 1) % values.length] }, true);
    const flip = (name) => () => this.set({ [name]: !state[name] }, true);
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (key in moves) return () => this.nudge(...moves[key]);
    const steps = this.steps.length > 1;
    const actions = {
      Enter: () => this.pin(this.cursor ?? this.lastHover, shiftKey),
      p: () => this.pin(this.cursor ?? this.lastHover, false),
      P: () => this.pin(this.cursor ?? this.lastHover, true),
      Escape: () => this.set({ pins: [] }, true),
      x: () => this.set({ pins: [] }, true),
      "[": () => this.showLayer(this.layerIndex - 1),
      "]": () => this.showLayer(this.layerIndex + 1),
      a: this.layers.length > 1 && this.layers.length <= MOST_BESIDE && (() => this.showAll(!state.all)),
      ",": steps && (() => this.toStep(this.stepIndex() - 1)),
      ".": steps && (() => this.toStep(this.stepIndex() + 1)),
      " ": steps && (() => this.play(!this.playing)),
      o: shift("opacity", -0.05),
      O: shift("opacity", 0.05),
      t: shift("threshold", -0.05),
      T: shift("threshold", 0.05),
      "%": next("cut", ["value", "percentile"]),
      g: () => this.set({ gamma: Math.max(state.gamma / 1.1, 0.25) }, true),
      G: () => this.set({ gamma: Math.min(state.gamma * 1.1, 4) }, true),
      c: next("colours", Object.keys(COLOUR_TABLES)),
      b: next("blend", ["heat", "reveal", "contour"]),
      s: next("scope", Object.keys(SCOPES)),
      v: next("pair", ["row", "column", "entropy"]),
      n: shift("near", -1),
      N: shift("near", 1),
      i: flip("smooth"),
      h: flip("sorted"),
      k: () => this.toChannel(-1),
      K: () => this.toChannel(1),
      m: flip("mask"),
      0: () => this.set({ ...usualView(), layer: state.layer, all: state.all }, true),
      "?": this.compact ? null : () => this.toggleHelp(),
    };
    return Object.hasOwn(actions, key) ? actions[key] : null;
  },

  // Picks the channel before or after the picked one, in the order of the strip; the first or last instead of their mean.
  toChannel(by) {
    const card = this.cards.find((each) => each.layer?.kind === "element");
    if (!card) return;
    card.prepare();
    const { channel } = this.state;
    const next = channel === null ? card.channelBeside(0, by > 0 ? -Infinity : Infinity) : card.channelBeside(channel, by);
    this.set({ channel: next }, true);
  },

  // Moves the cross-hair by one cell of the map that is shown, or the mark by one channel.
  nudge(dx, dy) {
    const card = this.cards[0];
    card.prepare();
    if (!card.field && card.cache.gates) {
      const from = this.hoverChannel ?? card.channelBeside(0, -Infinity);
      this.hoverChannel = this.hoverChannel === null ? from : card.channelBeside(from, dx + dy);
      this.schedule();
      return;
    }
    const [tall, wide] = card.field ? [card.field.height, card.field.width] : [card.panel.height, card.panel.width];
    const held = (value) => Math.min(Math.max(value, 0.0001), 0.9999);
    const { u, v } = this.cursor ?? this.lastHover;
    const at = { u: held(u + dx / wide), v: held(v + dy / tall) };
    this.hoverChannel = null;
    this.hover = this.lastHover = at;
    if (this.state.pins.length === 1) this.state.pins = [at];
    this.schedule();
    this.commit();
  },
});
