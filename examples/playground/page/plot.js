// Line plots in SVG: ratio to the right, something upwards.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 300, height: 200, left: 52, right: 20, top: 12, bottom: 30 };

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** `12.3 k`, `4.56 M`. */
function short(number) {
  for (const [size, unit] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (size <= number) return trim(number / size) + unit;
  }
  return trim(number);
}

function trim(number) {
  if (number === 0) return "0";
  return number < 0.01 ? number.toExponential(0) : number < 10 ? String(Math.round(number * 100) / 100) : number < 100 ? String(Math.round(number * 10) / 10) : String(Math.round(number));
}

/** A share as percent, with as many digits as it needs. */
function percent(share) {
  return `${Number((share * 100).toPrecision(3))} %`;
}

/**
 * A figure with one line a policy. `points` is a list of {ratio, values: {everything, head, tracelift}}; `here` is the ratio
 * that is chosen. `scale` is "log" or "share".
 */
function plot({ title, points, here, scale, unit }) {
  const { width, height, left, right, top, bottom } = SIZE;
  const log = (value) => Math.log10(value);
  const ratios = points.map((point) => log(point.ratio));
  const x = (ratio) => left + ((log(ratio) - ratios[0]) / (ratios[ratios.length - 1] - ratios[0])) * (width - left - right);
  const values = points.flatMap((point) => Object.values(point.values)).filter((value) => 0 < value);
  const high = scale === "share" ? 1 : Math.ceil(log(Math.max(...values, 1)) + 1e-9);
  const low = scale === "share" ? 0 : Math.max(Math.floor(log(Math.min(...values, 10 ** high))), high - 6);
  const up = (value) => (scale === "share" ? value : (Math.max(log(Math.max(value, 10 ** low)), low) - low) / Math.max(high - low, 1));
  const y = (value) => height - bottom - up(value) * (height - top - bottom);

  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const ticks = scale === "share" ? [0, 0.25, 0.5, 0.75, 1] : range(low, high).map((power) => 10 ** power);
  for (const tick of ticks) {
    picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
    const label = scale === "share" ? percent(tick) : (unit === "$" ? "$" : "") + short(tick);
    picture.append(svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, label));
  }
  for (const ratio of [0.0001, 0.001, 0.01, 0.1, 1]) {
    picture.append(svg("text", { x: x(ratio), y: height - 10, "text-anchor": "middle" }, percent(ratio)));
  }
  picture.append(svg("line", { class: "here", x1: x(here.ratio), x2: x(here.ratio), y1: top, y2: height - bottom }));
  for (const policy of ["everything", "head", "tracelift"]) {
    const path = points.map((point, index) => `${index ? "L" : "M"}${x(point.ratio).toFixed(1)} ${y(point.values[policy]).toFixed(1)}`);
    picture.append(svg("path", { class: policy, d: path.join("") }));
  }
  for (const policy of ["everything", "head", "tracelift"]) {
    picture.append(svg("circle", { class: policy, cx: x(here.ratio), cy: y(here.values[policy]), r: 4.5 }));
  }
  const say = (value) => (scale === "share" ? percent(value) : (unit === "$" ? "$" : "") + short(value));
  picture.setAttribute(
    "aria-label",
    `${title} by ratio. At ${percent(here.ratio)}: keep everything ${say(here.values.everything)}, head only ${say(here.values.head)}, tracelift ${say(here.values.tracelift)}.`,
  );
  return element("figure", {}, element("figcaption", {}, title, element("small", {}, " by ratio")), picture);
}

/** Whole numbers, thinned out where there would be more than five. */
function range(low, high) {
  const step = Math.ceil((high - low) / 4) || 1;
  const numbers = [];
  for (let number = low; number <= high; number += step) numbers.push(number);
  return numbers;
}
