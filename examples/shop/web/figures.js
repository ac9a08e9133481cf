// Figures of the page, and the small tools that every script here uses. What comes from spans is text, never markup.
"use strict";

const by = (id) => document.getElementById(id);
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

/** Writes only what changed: a person may be selecting it. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** How long ago, in the largest unit that fits. */
function ago(unix) {
  const seconds = Math.max(0, Math.round((Date.now() - unix) / 1000));
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}

/** What a person should take home. */
function headline(state) {
  const judged = state.complete.kept + state.complete.missing;
  const ratio = percent(state.settings.ratio);
  if (!judged) {
    write(by("headline"), state.settings.failures ? "Waiting for the first failed trace …" : "Nothing fails now. What is recorded is what the head samples.");
    return;
  }
  const missing = state.complete.missing ? [`, lost `, make("b", "bad", count(state.complete.missing))] : [];
  by("headline").replaceChildren(
    "Of ", make("b", "", count(judged)), judged === 1 ? " failed trace, " : " failed traces, ",
    `${ratio} sampling would have kept `, make("b", "grey", count(state.kept_by_head)), ". Tracelift kept ",
    make("b", "good", count(state.complete.kept)), ...missing, ", for ", make("b", "", money(state.bill.tracelift.month)),
    " a month instead of ", make("b", "grey", money(state.bill.everything.month)), ".");
}

function figures(state) {
  write(by("rate"), count(state.settings.rate));
  write(by("filter"), state.settings.dynamic_module ? " with the dynamic module" : " with the wasm module");
  write(by("python"), state.settings.python ? ", one with an OpenTelemetry SDK" : " without an SDK");
  write(by("requests"), count(state.requests.answered));
  const unplanned = state.requests.unplanned;
  by("requests-note").replaceChildren(
    `${count(state.requests.failed)} answered with an error, ${count(state.requests.probes)} health probes`,
    ...(unplanned ? [make("span", "bad", `, ${count(unplanned)} not as planned`)] : []));

  const seen = state.traces.seen;
  by("recorded").replaceChildren(count(state.traces.recorded),
    make("small", "", seen ? percent(Math.min(1, state.traces.recorded / seen)) : ""));
  write(by("recorded-note"),
    `${count(state.traces.head_sampled)} sampled, ${count(state.traces.upgraded)} upgraded · ${count(state.traces.spans)} spans`);

  const judged = state.complete.kept + state.complete.missing;
  // Rounded down: 100 % means all of them.
  write(by("kept"), judged ? percent(Math.floor(state.complete.kept / judged * 1e4) / 1e4) : "–");
  by("kept").className = state.complete.missing ? "figure bad" : "figure good";
  by("kept-note").replaceChildren(
    `${count(state.complete.kept)} of ${count(state.complete.failed)}, ${count(state.complete.pending)} on their way, `,
    make("span", state.complete.missing ? "bad" : "", `${count(state.complete.missing)} late`), make("br"),
    `hops: ${count(state.hops.kept)} of ${count(state.hops.failed)}, ${count(state.hops.pending)} on their way, `,
    make("span", state.hops.missing ? "bad" : "", `${count(state.hops.missing)} late`));

  write(by("month"), money(state.bill.tracelift.month));
  const all = state.bill.everything.month;
  write(by("month-note"), all ? `instead of ${money(all)} for every trace` : "");
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
  write(by("price"),
    `A month (730 h) of this traffic at ${money(state.price.dollars_per_million)} a million traces recorded: AWS X-Ray's price page as read ${state.price.read}, without free tier and retrieval.`);
}

function upgrades(state) {
  const names = {
    http_status: "HTTP status", grpc_status: "gRPC status", response_flags: "Envoy gave up or was left", reset: "Answer broke off",
    latency: "Too slow", signal: "Upstream's signal", recall: "Asked back by recall",
  };
  const why = Object.entries(state.upgrades).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...why.map((entry) => entry[1]));
  by("upgrades").replaceChildren(...why.map(([name, number]) =>
    meter("why", names[name] || name, count(number), name, number / most)));
  write(by("shed"), `${count(state.shed)} shed by the budget. Hops that the head had sampled anyway are not counted here.`);
}

function envoys(state) {
  const rows = state.envoys.map((envoy) => {
    const cells = [envoy.name, count(envoy.requests), count(envoy.sampled), count(envoy.upgraded), count(envoy.exported), count(envoy.discarded)];
    const balance = make("td", envoy.balances ? "good" : "bad", envoy.balances ? "holds" : "does not hold");
    return make("tr", "", ...cells.map((text) => make("td", "", text)), balance);
  });
  by("envoys").tBodies[0].replaceChildren(...rows);
}
