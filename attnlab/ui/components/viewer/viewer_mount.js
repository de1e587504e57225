// A part of the attention viewer: its two doors. `mountViewer` is the plain one (used by the offline hand-out); the
// default export is what Streamlit calls, again and again, with the same element.

// Puts a viewer into an element. `payload` is {id, meta, bytes, options}; `callbacks` are onView(view) after each
// gesture, optional. Returns the viewer; call `load` for other maps.
export function mountViewer(root, payload, callbacks = {}) {
  root.classList.add("attention-viewer");
  const viewer = new Viewer(root, callbacks);
  viewer.load(payload);
  return viewer;
}

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".attention-viewer");
  const payload = { id: data.id, meta: data.meta, options: data.options };
  let viewer = mounted.get(parentElement);
  if (viewer?.id !== data.id) payload.bytes = data.bytes.getChildAt(0).toArray();
  if (!viewer) {
    viewer = mountViewer(root, payload);
    mounted.set(parentElement, viewer);
  } else {
    viewer.load(payload);
  }
  viewer.callbacks.onView = data.options.report ? (view) => setStateValue("view", view) : undefined;
  return () => {
    viewer.destroy();
    mounted.delete(parentElement);
  };
}
