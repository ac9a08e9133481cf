// Line plots in SVG over time, upwards by powers of ten.

const TIME = { width: 620, height: 230, left: 58, right: 14, top: 12, bottom: 30 };

/** `2:05:00`, `20:00`: a time since the first request. */
function clock(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/**
 * A figure of `points`, {at_s, seconds, boosted, …}. `lines` is a list of {name, of: point => number or null}; a zero is drawn on the
 * ground. `say` writes a number of the axis.
 */
function timeline({ title, points, lines, say, spoken }) {
  const { width, height, left, right, top, bottom } = TIME;
  const last = points[points.length - 1];
  const end = last.at_s + last.seconds;
  const x = (at) => left + (at / end) * (width - left - right);
  const values = points.flatMap((point) => lines.map((line) => line.of(point))).filter((value) => 0 < value);
  const high = Math.ceil(Math.log10(Math.max(...values)) - 1e-9);
  const low = Math.min(Math.max(Math.floor(Math.log10(Math.min(...values)) + 1e-9), high - 5), high - 1);
  const y = (value) => {
    const up = (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low);
    return height - bottom - up * (height - top - bottom);
  };

  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} over time. ${spoken}` });
  for (const point of points.filter((point) => point.boosted)) {
    const across = x(point.at_s + point.seconds) - x(point.at_s);
    picture.append(svg("rect", { class: "boosted", x: x(point.at_s), y: top, width: across, height: height - top - bottom }));
  }
  for (const power of range(low, high)) {
    const at = y(10 ** power);
    picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: at, y2: at }));
    picture.append(svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, say(10 ** power)));
  }
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    picture.append(svg("text", { x: x(part * end), y: height - 10, "text-anchor": anchor }, clock(part * end)));
  }
  for (const line of lines) {
    const steps = points.map((point) => [line.of(point), point]).filter(([value]) => value !== null);
    const path = steps.map(([value, point], index) => {
      const from = `${index ? "L" : "M"}${x(point.at_s).toFixed(1)} ${y(value).toFixed(1)}`;
      return `${from}L${x(point.at_s + point.seconds).toFixed(1)} ${y(value).toFixed(1)}`;
    });
    picture.append(svg("path", { class: line.name, d: path.join("") }));
  }
  return element("figure", {}, element("figcaption", {}, title, element("small", {}, " over time")), picture);
}
