// The histogram of scores: a bar a bin, answers below, rows without one on top. A click shows the rows of a bin.
import { get, withQuery } from "./api.js";
import { count, el, svg } from "./dom.js";

// Draws it, again until all rows are in it. `found` is called with what came.
export async function histogram(place, id, values, signal, found) {
  const spread = await get(`/v1/jobs/${id}/scores`).catch(() => null);
  if (signal.aborted || !spread) return;
  found(spread);
  const { answered, no_answer: none, read, rows } = spread;
  const bins = answered.length;
  const most = Math.max(1, ...answered.map((number, at) => number + none[at]));
  const width = 100 / bins;
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const label = `Scores: ${count(sum(answered.slice(0, bins / 2)))} of ${count(sum(answered))} answers are below 0.5`;
  const bar = (kind, at, y, height) => svg("rect", { class: `bar ${kind}`, x: at * width + 0.3, y, width: width - 0.6, height });
  const bars = answered.flatMap((number, at) => {
    const [low, high, above, below] = [60 * number / most, 60 * none[at] / most, at / bins, (at + 1) / bins];
    const text = `score ${above.toFixed(2)} to ${below.toFixed(2)}: ${count(number)} answered, ${count(none[at])} without an answer`;
    const query = { ...Object.fromEntries(values), offset: null, above: at ? above : null, below: at < bins - 1 ? below : null };
    return number + none[at] ? [svg("a", { href: withQuery(`#/jobs/${id}`, query), "aria-label": text }, svg("title", {}, text),
      svg("rect", { x: at * width, y: 0, width, height: 60, fill: "transparent" }),
      bar("", at, 60 - low, low), bar("none", at, 60 - low - high, high))] : [];
  });
  place.replaceChildren(el("figcaption", {}, label, el("span", { class: "dim" }, " – a click on a bar shows its rows")),
    svg("svg", { viewBox: "0 0 100 60", preserveAspectRatio: "none", role: "group", "aria-label": label }, bars),
    el("div", { class: "axis dim" }, [0, 0.5, 1].map((at) => el("span", {}, String(at)))));
  if (read < rows) setTimeout(() => histogram(place, id, values, signal, found), 3000);
}
