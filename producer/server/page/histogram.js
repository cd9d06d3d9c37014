// The histogram of scores: a bar a bin, answers below, rows without one on top. A click shows the rows of a bin.
import { get, withQuery } from "./api.js";
import { count, el, svg } from "./dom.js";

// Draws it, again until all rows are in it. `found` is called with what came.
export async function histogram(place, id, values, signal, found) {
  const spread = await get(`/v1/jobs/${id}/scores`).catch(() => null);
  if (signal.aborted || !spread) {
    return;
  }
  found(spread);
  const bins = spread.answered.length;
  const most = Math.max(1, ...spread.answered.map((number, at) => number + spread.no_answer[at]));
  const width = 100 / bins;
  const bars = spread.answered.flatMap((number, at) => {
    const [low, high] = [60 * number / most, 60 * spread.no_answer[at] / most];
    if (!number && !spread.no_answer[at]) {
      return [];
    }
    const [above, below] = [at / bins, (at + 1) / bins];
    const text = `score ${above.toFixed(2)} to ${below.toFixed(2)}: ${count(number)} answered, ` +
      `${count(spread.no_answer[at])} without an answer`;
    const query = { ...Object.fromEntries(values), offset: null, above: at ? above : null, below: at < bins - 1 ? below : null };
    return [svg("a", { href: withQuery(`#/jobs/${id}`, query), "aria-label": text }, svg("title", {}, text),
      svg("rect", { x: at * width, y: 0, width, height: 60, fill: "transparent" }),
      svg("rect", { class: "bar", x: at * width + 0.3, y: 60 - low, width: width - 0.6, height: low }),
      svg("rect", { class: "bar none", x: at * width + 0.3, y: 60 - low - high, width: width - 0.6, height: high }))];
  });
  const total = spread.answered.reduce((sum, number) => sum + number, 0);
  const low = spread.answered.slice(0, bins / 2).reduce((sum, number) => sum + number, 0);
  const label = `Scores: ${count(low)} of ${count(total)} answers are below 0.5`;
  place.replaceChildren(el("figcaption", {}, label, el("span", { class: "dim" }, " – a click on a bar shows its rows")),
    svg("svg", { viewBox: "0 0 100 60", preserveAspectRatio: "none", role: "group", "aria-label": label }, bars),
    el("div", { class: "axis dim" }, el("span", {}, "0"), el("span", {}, "0.5"), el("span", {}, "1")));
  if (spread.read < spread.rows) {
    setTimeout(() => histogram(place, id, values, signal, found), 3000);
  }
}
