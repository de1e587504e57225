// @ts-check
// Elements of the page.

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, className = "", text = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/**
 * @param {string} text
 * @param {(event: MouseEvent) => void} action
 * @param {{ className?: string, title?: string, label?: string }} [options] label: what a screen reader says instead of the text
 */
export function button(text, action, { className = "", title = "", label = "" } = {}) {
  const node = element("button", className, text);
  node.type = "button";
  if (title) node.title = title;
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}

/**
 * A slider.
 * @param {{ min: number, max: number, step: number, value?: number, label?: string }} options
 */
export function range({ min, max, step, value, label = "" }) {
  const input = element("input");
  input.type = "range";
  [input.min, input.max, input.step] = [min, max, step].map(String);
  if (value !== undefined) input.value = String(value);
  if (label) input.setAttribute("aria-label", label);
  return input;
}

/**
 * A menu.
 * @param {[value: string, text: string][]} options
 * @param {(value: string) => void} change
 * @param {{ className?: string, label?: string }} [names]
 */
export function menu(options, change, { className = "", label = "" } = {}) {
  const select = element("select", className);
  fillMenu(select, options);
  if (label) select.setAttribute("aria-label", label);
  select.addEventListener("change", () => change(select.value));
  return select;
}

/**
 * @param {HTMLSelectElement} select
 * @param {[value: string, text: string][]} options
 */
export function fillMenu(select, options) {
  select.replaceChildren(...options.map(([value, text]) => Object.assign(element("option", "", text), { value })));
}

/**
 * Content with a caption in front, as one label.
 * @param {string} text
 * @param {...HTMLElement} content
 */
export function labelled(text, ...content) {
  const label = element("label", "", text);
  label.append(...content);
  return label;
}

/**
 * The one element that a component's markup must have.
 * @template {HTMLElement} Kind
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => Kind} kind
 */
export function find(root, selector, kind) {
  const node = root.querySelector(selector);
  if (!(node instanceof kind)) throw new Error(`no ${selector} in the markup`);
  return node;
}

/**
 * @param {HTMLElement} node
 * @param {string} name
 * @param {boolean} value
 */
export function setAria(node, name, value) {
  node.setAttribute(`aria-${name}`, String(value));
}

/**
 * A pressed button is written only when that changes: it is asked at every frame.
 * @param {HTMLElement} node
 * @param {boolean} pressed
 * @returns whether it has changed
 */
export function setPressed(node, pressed) {
  if (node.getAttribute("aria-pressed") === String(pressed)) return false;
  setAria(node, "pressed", pressed);
  return true;
}

/**
 * Text is written only when it changes.
 * @param {HTMLElement} node
 * @param {string} text
 * @returns whether it has changed
 */
export function setText(node, text) {
  if (node.textContent === text) return false;
  node.textContent = text;
  return true;
}
