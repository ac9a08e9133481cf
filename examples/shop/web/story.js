// A story: buttons that begin one, and how the rate goes in it. The curves are drawn by powers of ten.
"use strict";

const CURVE = { width: 580, height: 170, left: 46, right: 12, top: 8, bottom: 22 };

function drawn(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A picture of points over time. `lines` are {name, of}; `say` writes a number of the axis. */
function curve(label, points, lines, say) {
  const { width, height, left, right, top, bottom } = CURVE;
  const values = points.flatMap((point) => lines.map((line) => line.of(point))).filter((value) => 0 < value);
  const high = Math.ceil(Math.log10(Math.max(...values, 1e-4)) - 1e-9);
  const low = Math.min(Math.max(Math.floor(Math.log10(Math.min(...values, 10 ** high)) + 1e-9), high - 4), high - 1);
  const from = points[0].at_s, to = Math.max(points[points.length - 1].at_s, from + 1);
  const x = (at) => left + ((at - from) / (to - from)) * (width - left - right);
  const y = (value) => height - bottom - ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (height - top - bottom);
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (let power = low; power <= high; power += 1) {
    picture.append(
      drawn("line", { class: "grid", x1: left, x2: width - right, y1: y(10 ** power), y2: y(10 ** power) }),
      drawn("text", { x: left - 6, y: y(10 ** power) + 4, "text-anchor": "end" }, say(10 ** power)));
  }
  for (const [at, anchor] of [[from, "start"], [to, "end"]]) {
    picture.append(drawn("text", { x: x(at), y: height - 6, "text-anchor": anchor }, `${Math.round(at)} s`));
  }
  for (const line of lines) {
    const path = points.map((point, index) => `${index ? "L" : "M"}${x(point.at_s).toFixed(1)} ${y(line.of(point)).toFixed(1)}`);
    picture.append(drawn("path", { class: line.name, d: path.join("") }));
  }
  return picture;
}

const number = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 2 });

async function play(button) {
  write(by("story-note"), "The mesh is taking it up, without a restart …");
  try {
    const body = JSON.stringify(button.dataset.story);
    const reply = await fetch("api/story", { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!reply.ok) throw new Error(await reply.text());
  } catch (error) {
    write(by("story-note"), `Not begun: ${error.message}`);
  }
}

for (const button of document.querySelectorAll("[data-story]")) button.addEventListener("click", () => play(button));

function story(state) {
  const shown = state.story;
  by("story-curves").hidden = !shown;
  for (const button of document.querySelectorAll("[data-story]")) {
    button.setAttribute("aria-pressed", String(shown !== null && shown.phase !== null && shown.name === button.dataset.story));
  }
  if (!shown) return;
  const now = shown.points[shown.points.length - 1];
  if (!now) return;
  const boosted = shown.boosts ? `, ${count(shown.boosts)} changes by a boost` : "";
  const part = shown.phase ?? "over; the head follows its target until a ratio is set";
  write(by("story-note"), `${part[0].toUpperCase()}${part.slice(1)}: ${number(now.offered)} new traces a second, ${number(now.kept)} kept, `
    + `target ${number(shown.target)}; the ratio in force is ${percent(now.in_force)}${boosted}.`);
  const rates = [
    { name: "offered", of: (point) => point.offered },
    { name: "target", of: () => shown.target },
    { name: "kept", of: (point) => point.kept },
  ];
  by("story-rates").replaceChildren(curve("Traces a second: new, kept, and the target", shown.points, rates, number));
  const ratio = [{ name: "kept", of: (point) => point.in_force }];
  by("story-ratio").replaceChildren(curve("The ratio in force", shown.points, ratio, percent));
}
