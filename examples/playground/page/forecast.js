// What the sliders come to.

const POLICIES = ["everything", "head", "tracelift"];
const PLOTS = [
  { title: "Spans a second", key: "spans_per_second", scale: "log" },
  { title: "Bytes a second", key: "bytes_per_second", scale: "log" },
  { title: "Bill of a month", key: "dollars_per_month", scale: "log", unit: "$" },
  { title: "Failed traces kept whole", key: "chains_complete", scale: "share" },
];

class Forecast {
  constructor(engine) {
    this.engine = engine;
    this.configuration = "{}";
    for (const slider of document.querySelectorAll(".sliders input")) slider.addEventListener("input", () => this.show());
  }

  /** Takes ratio and budget of an accepted configuration over. */
  use(configuration, { ratio, budget }) {
    this.configuration = configuration;
    byId("ratio").value = Math.log10(Math.max(ratio, 0.0001));
    byId("budget").value = Math.log10(Math.max(budget, 1));
    this.show();
  }

  show() {
    const power = (id) => 10 ** Number(byId(id).value);
    const ratio = Math.min(power("ratio"), 1);
    const spans = Number(byId("spans").value);
    const rates = {
      traces_per_second: power("traffic"),
      spans_per_trace: spans,
      failed_share: Math.min(power("failed"), 1),
      chain_spans: (spans + 1) / 2,
      envoys: 1,
    };
    const budget = power("budget");
    const told = { ratio: percent(ratio), failed: percent(rates.failed_share), traffic: short(rates.traces_per_second), spans: String(spans), budget: short(budget) };
    for (const output of document.querySelectorAll(".sliders output")) {
      output.textContent = told[output.htmlFor];
      byId(output.htmlFor.value).setAttribute("aria-valuetext", told[output.htmlFor]);
    }
    const steps = Array.from({ length: 33 }, (_, index) => 10 ** (-4 + index / 8));
    const answer = JSON.parse(this.engine.curves(this.configuration, JSON.stringify({ rates, budget, ratios: [ratio, ...steps] })));
    if ("error" in answer) {
      byId("notes").textContent = answer.error;
      return;
    }
    const [here, ...curve] = answer.ok;
    const values = (forecast, key) => Object.fromEntries(POLICIES.map((policy, index) => [policy, forecast.rows[index][key] ?? 0]));
    byId("plots").replaceChildren(
      ...PLOTS.map(({ key, ...rest }) =>
        plot({
          ...rest,
          points: curve.map((forecast, index) => ({ ratio: steps[index], values: values(forecast, key) })),
          here: { ratio, values: values(here, key) },
        }),
      ),
    );
    this.table(here);
    const sentence = (text) => (text.endsWith(".") ? text : `${text}.`);
    byId("notes").replaceChildren(...prose([here.basis, ...here.notes].map(sentence).join(" ")));
    byId("prices").textContent = `${here.prices.name}, ${here.prices.read}`;
  }

  table(forecast) {
    const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
    const head = ["", "Spans a second", "Bytes a second", "Traces a month", "Spans a month", "Bill of a month", "Failed chains whole", "Their spans kept"];
    const rows = forecast.rows.map((row, index) => {
      const share = (value) => (value === null ? "–" : percent(value));
      const cells = [
        short(row.spans_per_second), short(row.bytes_per_second), short(row.traces_per_month), short(row.spans_per_month),
        dollars.format(row.dollars_per_month), share(row.chains_complete), share(row.failed_spans_kept),
      ];
      return element("tr", { class: POLICIES[index] }, element("th", { scope: "row" }, row.policy), ...cells.map((cell) => element("td", {}, cell)));
    });
    byId("numbers").replaceChildren(
      element("caption", { class: "hidden" }, "What each policy costs and keeps"),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows),
    );
  }
}
