// The page of the shop: asks for the state once a second, lists failed traces, and opens one.
"use strict";

const PERIOD_MS = 1000;
const LISTED = 14;
const MARKS = 240;
/** How long spans of a trace may still come, after its first. */
const YOUNG_MS = 15000;

window.faults = [];
addEventListener("error", (event) => window.faults.push(event.message));
addEventListener("unhandledrejection", (event) => window.faults.push(String(event.reason)));

let paused = false, cause = "", state = null;
let opened = null; // The trace in the pane; it stays, whatever the list does.
let shownDetail = "";
const rows = new Map(), marks = new Map();

const wanted = () => /^#trace=([0-9a-f]{32})$/.exec(location.hash)?.[1] ?? null;
const linkTo = (trace) => `#trace=${trace.trace_id}`;
const fate = (trace) => (trace.head_sampled ? "kept" : "lost");

/** An element for each trace, the same one as long as the trace is shown: it may be just what a person points at. */
function keyed(known, traces, create) {
  const ids = new Set(traces.map((trace) => trace.trace_id));
  for (const id of [...known.keys()]) if (!ids.has(id)) known.delete(id);
  return traces.map((trace) => {
    if (!known.has(trace.trace_id)) known.set(trace.trace_id, create(trace));
    return known.get(trace.trace_id);
  });
}

/** Moves elements only where their order changed, so that focus and pointer keep theirs. */
function arrange(parent, elements) {
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
  while (elements.length < parent.children.length) parent.lastElementChild.remove();
}

function listRow(trace) {
  const link = make("a", fate(trace), make("i", fate(trace)), statusOf(trace), make("span", "what", trace.what),
    make("span", "request", ""), make("span", "fate", ""));
  link.href = linkTo(trace);
  return make("li", "", link);
}

function mark(trace) {
  const link = make("a", fate(trace));
  link.href = linkTo(trace);
  link.tabIndex = -1;
  link.title = `${trace.what}, ${trace.head_sampled ? "would have been kept" : "would have been lost"}`;
  return link;
}

function list() {
  const fits = state.failed.filter((trace) => !cause || trace.what === cause).slice(0, LISTED);
  arrange(by("list"), keyed(rows, fits, listRow));
  for (const trace of fits) {
    const link = rows.get(trace.trace_id).firstElementChild;
    write(link.querySelector(".request"), `${trace.request} · ${ago(trace.at_unix_ms)}`);
    write(link.querySelector(".fate"), trace.head_sampled ? "sampled anyway" : `lost at ${percent(trace.ratio)}`);
    link.querySelector(".status").replaceWith(statusOf(trace));
  }
  by("empty").hidden = fits.length > 0;
  write(by("empty"), state.failed.length ? "None of this cause among the latest." : "No request has failed yet.");
}

const chipsByCause = new Map();

/** The button of a cause, the same one for ever: a count that changes must not take it away from under a finger. */
function chip(name, number) {
  if (!chipsByCause.has(name)) {
    const button = make("button", "chip", name || "all", make("b", ""));
    button.type = "button";
    button.dataset.cause = name;
    button.addEventListener("click", () => {
      cause = name;
      draw(true);
    });
    chipsByCause.set(name, button);
  }
  const button = chipsByCause.get(name);
  write(button.lastElementChild, count(number));
  button.setAttribute("aria-pressed", String(cause === name));
  return button;
}

function chips() {
  const counts = new Map([...chipsByCause.keys()].map((name) => [name, 0]));
  for (const trace of state.failed) counts.set(trace.what, (counts.get(trace.what) ?? 0) + 1);
  counts.delete("");
  const causes = [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  arrange(by("chips"), [["", state.failed.length], ...causes].map(([name, number]) => chip(name, number)));
}

function strip() {
  arrange(by("strip"), keyed(marks, state.failed.slice(0, MARKS), mark));
}

function highlight() {
  const id = opened?.trace_id;
  for (const known of [rows, marks]) {
    for (const [trace, element] of known) {
      const link = element.matches("a") ? element : element.firstElementChild;
      if (trace === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}

/** Lists and marks; a list that the pointer is over stands still. */
function draw(now) {
  if (!state) return;
  chips();
  if (now || !(paused || by("list").matches(":hover, :focus-within"))) list();
  strip();
  highlight();
}

function detail(children) {
  by("detail").replaceChildren(...children);
}

/** Loads a trace into the pane. What is there stays where it cannot be had again. */
async function open(id) {
  const reply = await fetch(`api/trace/${id}`, { cache: "no-store" });
  if (!reply.ok) {
    if (opened?.trace_id !== id) {
      opened = null;
      shownDetail = "";
      detail([make("p", "empty", `Trace ${id} is not here: ${await reply.text()}.`)]);
    }
    return;
  }
  const trace = await reply.json();
  const news = JSON.stringify(trace);
  if (news === shownDetail || (wanted() ?? id) !== id) return;
  if (opened?.trace_id !== id) openedHops.clear();
  opened = trace;
  shownDetail = news;
  detail(traceView(trace));
  by("detail").dataset.trace = id;
  highlight();
}

/** Opens what the address names, or the first trace that there is; late spans are asked for again. */
async function follow() {
  const id = wanted() ?? opened?.trace_id ?? state?.failed[0]?.trace_id;
  const settled = opened && opened.trace_id === id && YOUNG_MS < Date.now() - opened.at_unix_ms;
  if (id && !settled) await open(id);
}

addEventListener("hashchange", async () => {
  if (!wanted()) return;
  await open(wanted());
  if (matchMedia("(max-width: 900px)").matches) by("detail").scrollIntoView({ block: "start" });
});

async function refresh() {
  try {
    const reply = await fetch("api/state", { cache: "no-store" });
    state = await reply.json();
    by("live").className = "on";
    write(by("live").lastElementChild, duration(state.uptime_s));
    headline(state);
    controls(state);
    story(state);
    figures(state);
    bill(state);
    upgrades(state);
    envoys(state);
    draw(false);
    await follow();
    document.body.dataset.ready = "true";
  } catch (error) {
    if (!(error instanceof TypeError && /fetch/i.test(error.message))) window.faults.push(String(error));
    by("live").className = "off";
    write(by("live").lastElementChild, "the demo has ended");
  }
}

by("pause").addEventListener("click", () => {
  paused = !paused;
  by("pause").textContent = paused ? "Resume" : "Pause";
  by("pause").setAttribute("aria-pressed", String(paused));
});
refresh();
setInterval(refresh, PERIOD_MS);
