// The page of the shop: asks for the state once a second and writes it down. What comes from spans is text, never markup.
"use strict";

const PERIOD_MS = 1000;
const SHOWN = 12;
const OPEN_AT_FIRST = 2;
const by = (id) => document.getElementById(id);
const opened = new Map(); // trace id -> whether the person opened or closed it
let paused = false;

const count = (number) => number.toLocaleString("en-US");
const money = (dollars) => "$" + dollars.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = (share) => (share * 100).toLocaleString("en-US", { maximumFractionDigits: 2 }) + " %";
const ms = (value) => (value === 0 ? "0 ms" : value < 10 ? `${value.toFixed(1)} ms` : value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`);

/** An element with a class and children; strings become text nodes. */
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function figures(state) {
  by("settings").textContent =
    `${state.settings.rate} requests a second, ${percent(state.settings.failures)} of them fail somewhere, the head samples ${percent(state.settings.ratio)}`;
  by("requests").textContent = count(state.requests.answered);
  const unplanned = state.requests.unplanned;
  by("requests-note").replaceChildren(
    `${count(state.requests.failed)} failed, ${count(state.requests.probes)} health probes`,
    ...(unplanned ? [make("span", "bad", `, ${count(unplanned)} not as planned`)] : []));

  const seen = state.traces.seen;
  by("recorded").replaceChildren(count(state.traces.recorded),
    make("small", "", seen ? `${percent(state.traces.recorded / seen)}` : ""));
  by("recorded-note").textContent =
    `${count(state.traces.head_sampled)} sampled, ${count(state.traces.upgraded)} upgraded · ${count(state.traces.spans)} spans`;

  const judged = state.complete.kept + state.complete.missing;
  // Rounded down: 100 % means all of them.
  by("kept").textContent = judged ? percent(Math.floor(state.complete.kept / judged * 1e4) / 1e4) : "–";
  by("kept").className = state.complete.missing ? "figure bad" : "figure good";
  by("kept-note").replaceChildren(
    `${count(state.complete.kept)} of ${count(state.complete.failed)}, ${count(state.complete.pending)} on their way, `,
    make("span", state.complete.missing ? "bad" : "", `${count(state.complete.missing)} not in time`),
    ` · hops up to the gateway: ${count(state.hops.kept)} of ${count(state.hops.failed)}, `,
    `${count(state.hops.pending)} on their way, `,
    make("span", state.hops.missing ? "bad" : "", `${count(state.hops.missing)} missing`));

  by("month").textContent = money(state.bill.tracelift.month);
  const all = state.bill.everything.month;
  by("month-note").textContent = all ? `instead of ${money(all)} for every trace` : "";
}

function meter(kind, name, value, aside, share) {
  const bar = make("i");
  bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return make("div", `meter ${kind}`, make("p", "", make("span", "", name, make("em", "", aside)), make("b", "", value)), make("div", "", bar));
}

function bill(state) {
  const costs = [
    ["", "Everything", state.bill.everything, "every failure"],
    ["", "Head sampling alone", state.bill.head_only, `${percent(state.settings.ratio)} of failures`],
    ["ours", "Tracelift", state.bill.tracelift, "every failure"],
  ];
  const most = Math.max(state.bill.everything.month, 1e-9);
  by("bill").replaceChildren(...costs.map(([kind, name, cost, aside]) =>
    meter(kind, name, money(cost.month), aside, cost.month / most)));
  by("price").textContent =
    `A month (730 h) of this traffic at ${money(state.price.dollars_per_million)} a million traces recorded: AWS X-Ray's price page as read ${state.price.read}, without free tier and retrieval.`;
}

function upgrades(state) {
  const names = {
    http_status: "HTTP status", grpc_status: "gRPC status", response_flags: "Envoy gave up or was left", reset: "Answer broke off",
    latency: "Too slow", signal: "Upstream's signal",
  };
  const why = Object.entries(state.upgrades).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...why.map((entry) => entry[1]));
  by("upgrades").replaceChildren(...why.map(([name, number]) =>
    meter("why", names[name] || name, count(number), name, number / most)));
  by("shed").textContent = `${count(state.shed)} shed by the budget. Hops that the head had sampled anyway are not counted here.`;
}

function envoys(state) {
  const rows = state.envoys.map((envoy) => {
    const cells = [envoy.name, count(envoy.requests), count(envoy.sampled), count(envoy.upgraded), count(envoy.exported), count(envoy.discarded)];
    const ledger = make("td", envoy.balances ? "good" : "bad", envoy.balances ? "balances" : "does not balance");
    return make("tr", "", ...cells.map((text) => make("td", "", text)), ledger);
  });
  by("envoys").tBodies[0].replaceChildren(...rows);
}

function waterfall(trace) {
  const whole = Math.max(trace.duration_ms, 0.001);
  const ticks = make("span", "ticks", ...[0, .25, .5, .75, 1].map((share) => make("span", "", ms(whole * share))));
  const rows = trace.rows.map((row) => {
    const who = make("div", "who", make("b", "", row.service), make("span", "", row.peer ? `→ ${row.peer}` : row.name));
    who.style.paddingLeft = `${row.depth * 15}px`;
    for (let level = 0; level < row.depth; level++) {
      const guide = make("u");
      guide.style.left = `${level * 15 + 4}px`;
      who.append(guide);
    }
    who.title = `${row.service} ${row.kind} ${row.name}, span ${row.span_id}`;
    const start = row.offset_ms / whole, width = row.duration_ms / whole;
    const bar = make("i", row.kind.toLowerCase() + (row.error ? " failed" : ""));
    bar.style.left = `${start * 100}%`;
    bar.style.width = `${width * 100}%`;
    const reasons = [row.flags, row.trigger].filter(Boolean).join(", ") || (row.error ? "" : "ok");
    const why = make("div", "why", make("b", "", row.status == null ? "–" : String(row.status)), reasons);
    why.title = reasons;
    return make("div", row.error ? "row error" : "row", who, make("div", "lane", bar), make("div", "took", ms(row.duration_ms)), why);
  });
  const cut = trace.rows.some((row) => row.parent_dropped)
    ? [make("p", "cut", "Spans of the callers are still on their way.")] : [];
  return make("div", "fall", make("div", "scale", make("span", "", ""), ticks, make("span", "", ""), make("span", "", "status, flags, trigger")), ...rows, ...cut);
}

function ago(unix) {
  const seconds = Math.max(0, Math.round((Date.now() - unix) / 1000));
  return seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
}

let drawn = "";

/** Draws anew only what changed: a person may be selecting an id. */
function failed(state) {
  if (!state.failed.length) return;
  const news = JSON.stringify(state.failed.slice(0, SHOWN));
  if (news === drawn) {
    document.querySelectorAll(".ago").forEach((element) => { element.textContent = ago(Number(element.dataset.at)); });
    return;
  }
  drawn = news;
  const entries = state.failed.slice(0, SHOWN).map((trace, index) => {
    const status = make("span", trace.status != null && trace.status < 500 ? "status fine" : "status", trace.status == null ? "–" : String(trace.status));
    const chip = `${trace.rows.length} ${trace.rows.length === 1 ? "span" : "spans"}${trace.head_sampled ? ", sampled anyway" : ""}`;
    const when = make("span", "ago", ago(trace.at_unix_ms));
    when.dataset.at = trace.at_unix_ms;
    const summary = make("summary", "", status, make("span", "what", trace.what, make("span", "", trace.request)),
      make("span", "chip", chip), make("span", "id", trace.trace_id.slice(0, 16)), when);
    summary.title = `trace ${trace.trace_id}`;
    const details = make("details", "", summary);
    details.open = opened.has(trace.trace_id) ? opened.get(trace.trace_id) : index < OPEN_AT_FIRST;
    if (details.open) details.append(waterfall(trace));
    summary.addEventListener("click", () => {
      opened.set(trace.trace_id, !details.open);
      if (!details.open && details.children.length === 1) details.append(waterfall(trace));
    });
    return details;
  });
  by("failed").replaceChildren(...entries);
}

async function refresh() {
  try {
    const reply = await fetch("api/state", { cache: "no-store" });
    const state = await reply.json();
    by("live").className = "on";
    by("live").lastElementChild.textContent = duration(state.uptime_s);
    figures(state);
    bill(state);
    upgrades(state);
    envoys(state);
    if (!paused) failed(state);
  } catch {
    by("live").className = "off";
    by("live").lastElementChild.textContent = "the demo has ended";
  }
}

by("pause").addEventListener("click", () => {
  paused = !paused;
  by("pause").textContent = paused ? "Resume" : "Pause";
  by("pause").setAttribute("aria-pressed", String(paused));
});
refresh();
setInterval(refresh, PERIOD_MS);
