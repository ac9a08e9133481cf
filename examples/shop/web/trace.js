// The opened trace: its line, its id and link, and its hops, each with why it was kept and its attributes.
"use strict";

/** Hops that a person opened, by span id; they stay open when late spans come. */
const openedHops = new Set();

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // Not allowed here: the old way needs no permission.
    const field = make("textarea", "", text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const said = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = said; }, 1500);
}

function copyButton(label, text) {
  const button = make("button", "copy", label);
  button.type = "button";
  button.addEventListener("click", () => copy(button, text));
  return button;
}

function statusOf(trace) {
  const fine = trace.status != null && trace.status < 500;
  return make("span", fine ? "status fine" : "status", trace.status == null ? "–" : String(trace.status));
}

/** Attributes of a hop, and why there is a span of it at all. */
function hopDetails(row) {
  const list = make("dl", "");
  for (const [key, value] of row.attributes) list.append(make("dt", "", key), make("dd", "", value));
  if (!row.attributes.length) list.append(make("dd", "gone", "Its attributes are kept for the latest traces only."));
  const about = make("p", "why", make("b", "", "Why it was kept"), row.why);
  const whose = row.application ? "by the application's SDK" : "by its proxy";
  return make("div", "hop", about, make("p", "ids", `${row.kind} ${row.name} · ${whose} · span ${row.span_id}`), list);
}

function bar(row, whole) {
  const bar = make("i", (row.application ? "app" : row.kind.toLowerCase()) + (row.error ? " failed" : ""));
  bar.style.left = `${row.offset_ms / whole * 100}%`;
  bar.style.width = `${row.duration_ms / whole * 100}%`;
  return make("span", "lane", bar);
}

function hop(row, whole) {
  const who = make("span", row.application ? "who app" : "who", make("b", "", row.service), make("span", "", row.peer ? `→ ${row.peer}` : row.name));
  who.style.setProperty("--depth", row.depth);
  const reasons = [row.flags, row.trigger].filter(Boolean).join(", ") || (row.error ? "" : "ok");
  const end = make("span", "end", make("b", "", row.status == null ? "–" : String(row.status)), reasons);
  const button = make("button", row.error ? "row error" : "row", who, bar(row, whole), make("span", "took", ms(row.duration_ms)), end);
  button.type = "button";
  button.title = row.why;
  const item = make("li", "", button);
  const show = (open) => {
    button.setAttribute("aria-expanded", String(open));
    if (open && item.children.length === 1) item.append(hopDetails(row));
    if (!open && item.children.length === 2) item.lastElementChild.remove();
  };
  show(openedHops.has(row.span_id));
  button.addEventListener("click", () => {
    const open = !openedHops.delete(row.span_id);
    if (open) openedHops.add(row.span_id);
    show(open);
  });
  return item;
}

function waterfall(trace) {
  const whole = Math.max(trace.duration_ms, 0.001);
  const ticks = make("span", "ticks", ...[0, .5, 1].map((share) => make("span", "", ms(whole * share))));
  const scale = make("div", "scale", make("span", ""), ticks, make("span", ""), make("span", "", "status, flags, trigger"));
  const cut = trace.rows.some((row) => row.parent_dropped)
    ? [make("p", "cut", "Spans of some callers are not here: on their way, or never recorded by their application.")] : [];
  const kinds = [["server", "SERVER"], ["client", "CLIENT"], ["error", "failed"]];
  if (trace.rows.some((row) => row.application)) kinds.splice(2, 0, ["app", "the application's own"]);
  const legend = make("p", "legend", ...kinds.map(([kind, name]) =>
    make("span", "", make("i", kind), name)), make("span", "hint", "a hop opens with a click"));
  return make("div", "fall", scale, make("ol", "hops", ...trace.rows.map((row) => hop(row, whole))), ...cut, legend);
}

/** The whole pane of an opened trace. */
function traceView(trace) {
  const verdict = trace.head_sampled
    ? make("p", "verdict kept", make("i", "kept"), `${percent(trace.ratio)} sampling alone would have kept this trace, too.`)
    : make("p", "verdict lost", make("i", "lost"), `${percent(trace.ratio)} sampling alone would have lost this trace.`);
  const title = make("h3", "", statusOf(trace), make("span", "what", trace.what));
  const facts = make("p", "facts", `${trace.request} · ${ms(trace.duration_ms)} · ${trace.spans} ${trace.spans === 1 ? "span" : "spans"}`);
  const link = `${location.origin}${location.pathname}#trace=${trace.trace_id}`;
  const id = make("p", "id", make("code", "", trace.trace_id), copyButton("Copy id", trace.trace_id), copyButton("Copy link", link));
  return [make("div", "about", title, facts, id, verdict), waterfall(trace)];
}
