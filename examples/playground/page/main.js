// Starts the engine, then everything that asks it.

// For whoever drives the page from outside.
window.faults = [];
addEventListener("error", (event) => window.faults.push(event.message));

const bytes = Uint8Array.from(atob(ENGINE), (character) => character.charCodeAt(0));
wasm_bindgen.initSync({ module: bytes });

const mesh = new Mesh(wasm_bindgen);
const forecast = new Forecast(wasm_bindgen);
const rate = new Rate(wasm_bindgen);
const editor = new Editor(wasm_bindgen, (text, report) => {
  mesh.use(text);
  rate.use(text);
  forecast.use(text, report);
});
editor.set(EXAMPLES.smallest);
document.documentElement.dataset.ready = "true";
