// A log, replayed: how a target and a boost would have steered the rate.

/** Seconds, requests of each, and the share of them that fails. */
const LOGS = {
  step: { name: "load step", seconds: 1200, at: (second) => [400 <= second && second < 800 ? 50 : 5, 0.002] },
  outage: { name: "outage", seconds: 600, at: (second) => [50, 300 <= second && second < 420 ? 0.03 : 0.002] },
};
/** A pause in typing, before a log is decided again. */
const PAUSE_MS = 300;

/** An access log in Envoy's own text format. */
function made({ seconds, at }) {
  const lines = [];
  const two = (number) => String(number).padStart(2, "0");
  let due = 0;
  for (let second = 0; second < seconds; second += 1) {
    const [requests, failing] = at(second);
    for (let index = 0; index < requests; index += 1) {
      due += failing;
      const status = 1 <= due ? "503 UF" : "200 -";
      if (1 <= due) due -= 1;
      const time = `${two(Math.floor(second / 60))}:${two(second % 60)}.${String(Math.floor((index * 1000) / requests)).padStart(3, "0")}`;
      lines.push(`[2026-11-30T10:${time}Z] "GET /cart HTTP/1.1" ${status} 0 5 3 3 "-" "curl" "r" "shop" "10.0.0.1:80"`);
    }
  }
  return lines.join("\n");
}

class Rate {
  constructor(engine) {
    this.engine = engine;
    this.configuration = "{}";
    this.log = null;
    for (const button of document.querySelectorAll("[data-log]")) {
      button.addEventListener("click", () => {
        const sample = LOGS[button.dataset.log];
        byId("log").value = "";
        this.take(sample.name, made(sample), button);
      });
    }
    byId("log").addEventListener("change", async (event) => {
      const [file] = event.target.files;
      if (file) this.take(file.name, await file.text(), null);
    });
    this.show();
  }

  use(configuration) {
    this.configuration = configuration;
    clearTimeout(this.timer);
    if (this.log !== null) this.timer = setTimeout(() => this.show(), PAUSE_MS);
  }

  take(name, log, chosen) {
    for (const button of document.querySelectorAll("[data-log]")) button.setAttribute("aria-pressed", String(button === chosen));
    this.name = name;
    this.log = log;
    this.show();
  }

  show() {
    const clear = (summary, notes = []) => {
      byId("rate-summary").replaceChildren(...prose(summary));
      byId("rate-legend").hidden = true;
      for (const id of ["timelines", "events"]) byId(id).replaceChildren();
      byId("rate-notes").replaceChildren(...prose(notes.join(" ")));
    };
    if (this.log === null) return clear("Choose a log.");
    const answer = JSON.parse(this.engine.replay(this.configuration, this.log));
    if ("error" in answer) return clear(`${this.name}: ${answer.error}`);
    const { adaptive, basis, notes } = answer.ok;
    if (!adaptive) return clear("The configuration has neither `sampling.target` nor `sampling.boost`: take the example With a target.", notes);
    byId("rate-legend").hidden = false;
    this.sum(adaptive);
    byId("timelines").replaceChildren(...this.plots(adaptive));
    byId("events").replaceChildren(
      ...adaptive.events.slice(0, 12).map((event) => {
        const text = `${event.what}; ${percent(event.ratio)} at ${short(event.offered)} new traces a second`;
        return element("li", {}, element("b", {}, clock(event.at_s)), ...prose(text));
      }),
    );
    byId("rate-notes").replaceChildren(...prose([`${this.name}: ${basis}.`, ...notes].join(" ")));
  }

  sum(adaptive) {
    const { kept_per_second: kept, paid_first_per_second: paid, target_per_second: target, changes } = adaptive;
    const aim = target === null ? "without a target" : `for a target of ${short(target)}`;
    const causes = ["load", "calm", "budget", "boost"].map((cause) => `${changes[cause]} by ${cause}`).join(", ");
    const spent = `Kept ${short(kept + paid)} traces a second ${aim}: ${short(kept)} by the rate, ${short(paid)} paid first. Changes: ${causes}.`;
    byId("rate-summary").textContent = spent;
  }

  plots({ points, target_per_second: target }) {
    const ends = (of) => `${of(points.reduce((a, b) => (b.ratio < a.ratio ? b : a)).ratio)} to ${of(points.reduce((a, b) => (a.ratio < b.ratio ? b : a)).ratio)}`;
    const most = (key) => short(Math.max(...points.map((point) => point[key])));
    const aim = target === null ? "" : `, target ${short(target)}`;
    return [
      timeline({
        title: "Traces a second",
        points,
        say: short,
        spoken: `At most ${most("offered")} new, ${most("kept")} kept by the rate${aim}.`,
        lines: [
          { name: "everything", of: (point) => point.offered },
          { name: "paid", of: (point) => point.paid_first },
          { name: "head", of: () => target },
          { name: "tracelift", of: (point) => point.kept },
        ],
      }),
      timeline({
        title: "Ratio in force",
        points,
        say: percent,
        spoken: `From ${ends(percent)}.`,
        lines: [{ name: "tracelift", of: (point) => point.ratio }],
      }),
    ];
  }
}
