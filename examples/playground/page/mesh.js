// A request on its way through the mesh.

class Mesh {
  constructor(engine) {
    this.engine = engine;
    this.chosen = 0;
    this.configuration = "{}";
    // Not every way to choose from a list is an input.
    for (const event of ["input", "change"]) byId("request").addEventListener(event, () => this.show());
    byId("request").addEventListener("submit", (event) => event.preventDefault());
    byId("new-id").addEventListener("click", () => {
      this.newId();
      this.show();
    });
    byId("trace-id").value = "4bf92f3577b34da6a3ce929d0e0e4736";
  }

  newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    byId("trace-id").value = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  use(configuration) {
    this.configuration = configuration;
    this.show();
  }

  journey() {
    const lines = byId("headers").value.split("\n").filter((line) => line.includes(":"));
    const headers = lines.map((line) => {
      const colon = line.indexOf(":", 1);
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    });
    const id = byId("trace-id").value.trim();
    const flags = byId("caller").value;
    if (flags !== "none") headers.push(["traceparent", `00-${id}-00f067aa0ba902b7-${flags}`]);
    const duration = Math.trunc(Number(byId("duration").value));
    return {
      request: { method: byId("method").value, path: byId("path").value, host: byId("host").value, headers },
      trace_id: id,
      answer: {
        status: Number(byId("status").value),
        duration_ms: Number.isFinite(duration) && 0 <= duration ? duration : 0,
        swallowed_by: byId("swallowed").value || null,
        admit: byId("admit").checked,
      },
    };
  }

  show() {
    const answer = JSON.parse(this.engine.explain(this.configuration, JSON.stringify(this.journey())));
    byId("trace-id").setAttribute("aria-invalid", String("error" in answer));
    if ("error" in answer) {
      byId("trace-hint").textContent = answer.error;
      return;
    }
    const hops = answer.ok;
    byId("trace-hint").textContent = `Its randomness R is ${hops[0].randomness}, the last 14 digits unless tracestate says otherwise.`;
    const kept = hops.filter((hop) => hop.kept).length;
    byId("summary").textContent =
      kept === 0 ? "No hop keeps its span." : kept === hops.length ? "Every hop keeps its span: the trace is whole." : `${kept} of ${hops.length} hops keep their spans.`;
    byId("hops").replaceChildren(...hops.map((hop, index) => this.card(hop, index, hops)));
    this.detail(hops[this.chosen]);
  }

  card(hop, index, hops) {
    const what = !hop.kept ? (hop.verdict === "shed" ? "shed" : "dropped") : hop.trigger ? `kept: ${hop.trigger.replace("_", " ")}` : "sampled";
    const [pod, side] = hop.name.split(", ");
    const button = element(
      "button",
      { type: "button", "aria-pressed": String(index === this.chosen), "aria-label": `${hop.name}: answers ${hop.status}, ${what}` },
      element("strong", {}, pod),
      element("span", { class: "side" }, side || "edge of the mesh"),
      element("span", { class: `badge ${hop.status < 500 ? "dropped" : "fails"}` }, String(hop.status)),
      element("span", { class: `badge ${hop.kept ? "kept" : "dropped"}` }, what),
    );
    button.addEventListener("click", () => {
      this.chosen = index;
      for (const [place, other] of [...byId("hops").querySelectorAll("button")].entries()) {
        other.setAttribute("aria-pressed", String(place === index));
      }
      this.detail(hops[index]);
    });
    return element("li", {}, button);
  }

  detail(hop) {
    const steps = hop.steps.flatMap((step) => [element("dt", {}, step.topic), element("dd", {}, ...prose(step.said))]);
    byId("hop").replaceChildren(element("h3", {}, `Step by step at ${hop.name}`), element("dl", {}, ...steps));
  }
}
