// The configuration's text, with its faults marked where they are.

const EXAMPLES = {
  smallest: `{
  "service_name": "cart",
  "sampling": { "ratio": 0.05 }
}
`,
  rules: `{
  "service_name": "cart",
  "sampling": {
    "ratio": 0.05,
    "rules": [
      { "name": "probes", "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false },
      { "name": "payments", "match": { "path": { "prefix": "/pay" }, "method": ["POST"] }, "ratio": 1, "latency_ms": 800 },
      { "name": "gold", "match": { "headers": { "x-tenant": { "exact": "gold" } } }, "ratio": 0.5 }
    ]
  },
  "upgrade": { "http_status": ["5xx", 429], "latency_ms": 2000 }
}
`,
  target: `{
  "service_name": "gateway",
  "edge": true,
  "sampling": {
    "target": { "traces_per_second": 2, "max_ratio": 0.5 },
    "boost": { "max_ratio": 0.5 },
    "rules": [{ "name": "probes", "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false }]
  }
}
`,
  envoy: `static_resources:
  listeners:
    - name: inbound
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                tracing:
                  provider: { name: envoy.tracers.opentelemetry }
                http_filters:
                  - name: tracelift
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                      config:
                        name: tracelift
                        failure_policy: FAIL_RELOAD
                        vm_config: { vm_id: tracelift, runtime: envoy.wasm.runtime.v8 }
                        configuration:
                          "@type": type.googleapis.com/google.protobuf.StringValue
                          value: |
                            {
                              "sampling": { "ratio": 0.01 },
                              "export": { "cluster": "colector" }
                            }
  clusters:
    - name: collector
`,
  broken: `{
  "service_name": "cart",
  "sampling": {
    "ratoi": 0.05,
    "rules": [
      { "name": "probes", "match": { "path": { "exct": "/healthz" } }, "ratio": 0 },
      { "name": "probes", "ratio": 7 }
    ]
  },
  "export": { "timeout_ms": 0 }
}
`,
};

const byId = (id) => document.getElementById(id);

/** An element with its text or its children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Text with what stands between backticks as code. */
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

class Editor {
  /** `changed` hears of the text whenever it was accepted, with what the engine said of it. */
  constructor(engine, changed) {
    this.engine = engine;
    this.changed = changed;
    this.area = byId("configuration");
    this.marks = document.querySelector(".marks");
    this.numbers = document.querySelector(".numbers");
    this.area.addEventListener("input", () => this.check());
    this.area.addEventListener("scroll", () => {
      this.marks.scrollTo(this.area.scrollLeft, this.area.scrollTop);
      this.numbers.scrollTop = this.area.scrollTop;
    });
    for (const button of document.querySelectorAll("[data-example]")) {
      button.addEventListener("click", () => this.set(EXAMPLES[button.dataset.example]));
    }
  }

  set(text) {
    this.area.value = text;
    this.area.scrollTo(0, 0);
    this.check();
  }

  check() {
    const text = this.area.value;
    const report = JSON.parse(this.engine.check(text));
    this.mark(text, report.findings);
    this.list(report.findings);
    const errors = report.findings.filter((finding) => finding.severity === "error").length;
    const warnings = report.findings.length - errors;
    const verdict = byId("verdict");
    const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
    verdict.className = errors ? "bad" : "good";
    verdict.textContent = errors
      ? `Refused: ${count(errors, "error")}${warnings ? `, ${count(warnings, "warning")}` : ""}. Below, the last accepted one counts.`
      : `Accepted${warnings ? `, with ${count(warnings, "warning")}` : ""}.`;
    if (!errors && report.ratio !== null) this.changed(text, report);
  }

  /** Underlines the word at each finding's place. */
  mark(text, findings) {
    const lines = text.split("\n");
    const worst = new Map();
    const marked = lines.map((line, index) => {
      const here = findings.filter((finding) => finding.line === index + 1).sort((a, b) => a.column - b.column);
      if (here.length) worst.set(index, here.some((finding) => finding.severity === "error") ? "error" : "warning");
      const characters = [...line];
      const parts = [];
      let at = 0;
      for (const finding of here) {
        const start = Math.min(finding.column - 1, Math.max(characters.length - 1, 0));
        if (start < at) continue;
        const rest = characters.slice(start).join("");
        const word = (rest.match(/^(?:"(?:[^"\\]|\\.)*"|[^\s,{}[\]]+|.)/u) || [" "])[0];
        parts.push(characters.slice(at, start).join(""), element("mark", { class: finding.severity }, word));
        at = start + [...word].length;
      }
      parts.push(characters.slice(at).join(""), "\n");
      return parts;
    });
    this.marks.replaceChildren(...marked.flat());
    this.numbers.replaceChildren(
      ...lines.flatMap((_, index) => [element("span", { class: worst.get(index) || "" }, String(index + 1)), "\n"]),
    );
  }

  list(findings) {
    byId("findings").replaceChildren(
      ...findings.map((finding) => {
        const place = element("b", {}, `${finding.line}:${finding.column} ${finding.severity}${finding.path ? ` ${finding.path}` : ""}`);
        const button = element("button", { type: "button" }, place, element("br"), ...prose(finding.message));
        button.addEventListener("click", () => this.go(finding));
        return element("li", { class: finding.severity }, button);
      }),
    );
  }

  /** Puts the cursor where the finding is. */
  go({ line, column }) {
    const before = this.area.value.split("\n").slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    const characters = [...(this.area.value.split("\n")[line - 1] || "")].slice(0, column - 1).join("").length;
    this.area.focus();
    this.area.setSelectionRange(before + characters, before + characters);
    this.area.scrollTop = Math.max(0, (line - 6) * 21);
  }
}
