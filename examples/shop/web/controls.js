// The two sliders: the ratio of the head and the share of requests that fail, changed in the running mesh.
"use strict";

const RATIOS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1];
const FAILURES = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/** A slider over the steps, and what it was set to before the mesh has taken it up. */
function slider(id, steps) {
  const input = by(id), value = by(`${id}-value`);
  let stops = steps, asked = null, touched = false;
  const chosen = () => stops[Number(input.value)];
  const show = () => {
    value.textContent = percent(chosen());
    input.setAttribute("aria-valuetext", value.textContent);
  };
  input.max = String(stops.length - 1);
  input.addEventListener("input", () => { touched = true; show(); });
  return {
    input,
    chosen,
    ask() { asked = chosen(); touched = false; },
    refused() { asked = null; touched = false; },
    /** Follows the mesh, unless a person is moving it. */
    follow(current) {
      if (asked !== null && asked !== current) return;
      asked = null;
      if (touched) return;
      if (!stops.includes(current)) stops = [...steps, current].sort((a, b) => a - b);
      input.max = String(stops.length - 1);
      input.value = String(stops.indexOf(current));
      show();
    },
  };
}

const ratio = slider("ratio", RATIOS);
const failures = slider("failures", FAILURES);

async function change() {
  ratio.ask();
  failures.ask();
  write(by("stretch"), "The mesh is taking it up, without a restart …");
  const body = JSON.stringify({ ratio: ratio.chosen(), failures: failures.chosen() });
  try {
    const reply = await fetch("api/settings", { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!reply.ok) throw new Error(await reply.text());
  } catch (error) {
    ratio.refused();
    failures.refused();
    write(by("stretch"), `Not changed: ${error.message}`);
  }
}

for (const one of [ratio, failures]) one.input.addEventListener("change", change);
by("controls").addEventListener("submit", (event) => event.preventDefault());

function controls(state) {
  ratio.follow(state.settings.ratio);
  failures.follow(state.settings.failures);
  const changed = state.stretch_s + 0.5 < state.uptime_s;
  write(by("stretch"), changed ? `Figures count anew since the last change, ${duration(state.stretch_s)} ago.`
    : "Move one: the gateway's filter changes while it runs.");
}
