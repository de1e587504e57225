// The wire between the picture of rows (rows.js) and the server, alone in a fragment: a question reruns nothing else,
// and nothing but the one answer travels back.

const wires = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  let wire = wires.get(parentElement);
  if (!wire) {
    wire = { abort: new AbortController() };
    wires.set(parentElement, wire);
    const heard = (event) => {
      if (event.detail.id !== wire.id) return;
      event.detail.heard = true;
      wire.ask(event.detail.question);
    };
    document.addEventListener("attnlab:rows-ask", heard, { signal: wire.abort.signal });
  }
  wire.id = data.id;
  wire.ask = (question) => setStateValue("asked", { id: data.id, ...question });
  document.dispatchEvent(new CustomEvent("attnlab:rows-told", { detail: data }));
  return () => {
    wires.delete(parentElement);
    wire.abort.abort();
  };
}
