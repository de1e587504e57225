// @ts-check
// What Streamlit calls, again and again, with the same element.

/**
 * @template Data
 * @typedef {object} Call of a component
 * @property {Data} data what the Python side sends
 * @property {ParentNode} parentElement holds the component's markup
 * @property {(name: string, value: unknown) => void} setStateValue sends a value that stays
 * @property {(name: string, value: unknown) => void} setTriggerValue sends a value for one rerun
 */

/** @typedef {{ getChildAt(index: number): { toArray(): Uint8Array<ArrayBuffer> } }} Column how an array of bytes arrives */

/** @param {Column} column */
export function bytesOf(column) {
  return column.getChildAt(0).toArray();
}

/**
 * A component that keeps one view for each element: made at the first call, updated at every call, destroyed in the end.
 * @template Data
 * @template View
 * @param {(root: ParentNode) => View} create
 * @param {(view: View, call: Call<Data>) => void} update
 * @param {(view: View) => void} [destroy]
 */
export function mounted(create, update, destroy) {
  /** @type {WeakMap<ParentNode, View>} */
  const views = new WeakMap();
  return (/** @type {Call<Data>} */ call) => {
    const root = call.parentElement;
    const view = views.get(root) ?? create(root);
    views.set(root, view);
    update(view, call);
    return () => {
      destroy?.(view);
      views.delete(root);
    };
  };
}
