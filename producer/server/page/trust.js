// What verdicts promise of the answers that nobody judged: in words, as a curve, and both sides of its threshold.
import { get, withQuery } from "./api.js";
import { count, counted, el, svg } from "./dom.js";

const PRECISIONS = [0.8, 0.85, 0.9, 0.95, 0.99];

export const precision = () => Number(localStorage.getItem("precision") ?? 0.9);

// Null if there is nothing that a promise could be made of.
export const trust = (id) => get(`/v1/jobs/${id}/trust`, { precision: precision() }).catch((problem) =>
  (problem.status === 422 ? null : Promise.reject(problem)));

// Rounded down: never more than is promised.
const percent = (share) => `${Math.floor(share * 1000 + 1e-6) / 10}%`;
const score = (threshold) => threshold.toFixed(3);

export function promised(made) {
  if (!made) return "Nothing is promised yet: judge a random sample of the answers first.";
  const { threshold, trusted, rest, labels, wrong, skipped, best, more, next_look: next, by } = made;
  const sum = `${counted(labels, "verdict")}, ${count(wrong)} wrong${skipped ? ` (${count(skipped)} of them skipped)` : ""}`;
  const sentences = threshold !== null
    ? [`Of the answers with a score of at least ${score(threshold)}, ${percent(made.precision)} or more are right ` +
      `(${percent(made.confidence)} confidence): ${count(trusted)} of ${counted(trusted + rest, "row")}. ${sum}.`]
    : [`Not enough to promise ${percent(made.precision)}: ${sum}.`,
      best?.lower_bound ? `They promise ${percent(best.lower_bound)} from a score of ${score(best.threshold)} on.` : "",
      more ? `About ${count(more)} more are needed, if the same share of them is right.` : ""];
  sentences.push(by === "references" ? "Judged by the reference answers. Only exact matches count, so this is a lower bound."
    : next ? `The next look is at ${count(next)} verdicts.` : "");
  return sentences.filter(Boolean).join(" ");
}

// What is promised of the job's surest rows, by how many these are.
function curve({ curve: points, precision: wanted, threshold }) {
  const low = Math.floor(10 * Math.min(wanted - 0.05, ...points.map((each) => each.lower_bound))) / 10;
  const [x, y] = [(share) => 30 + share * 280, (bound) => 92 - (bound - low) / (1 - low) * 84];
  const text = (left, top, content, anchor) => svg("text", { x: left, y: top, "text-anchor": anchor }, content);
  const level = (bound, style) => [svg("line", { class: style, x1: x(0), x2: x(1), y1: y(bound), y2: y(bound) }),
    text(26, y(bound) + 3, percent(bound), "end")];
  const dots = points.map(({ threshold: from, share, lower_bound: bound }) =>
    svg("circle", { class: from === threshold ? "kept" : null, cx: x(share), cy: y(bound), r: 3 },
      svg("title", {}, `score ${score(from)}: ${percent(bound)} of ${percent(share)} of the rows`)));
  return svg("svg", { class: "curve", viewBox: "0 0 320 110", role: "img", "aria-label": "The promise, by share of the rows" },
    level(low), level(wanted, "wanted"), level(1),
    svg("polyline", { points: points.map((at) => `${x(at.share)},${y(at.lower_bound)}`).join(" ") }), dots,
    text(x(0), 106, "the surest rows", "start"), text(x(1), 106, "all rows", "end"));
}

// The part of a job's page. A job that another one's promise splits has its sides from there.
export async function reliance(place, job, download) {
  const made = await trust(job.id);
  const choice = el("select", { "aria-label": "Precision" }, PRECISIONS.map((each) =>
    el("option", { value: each, selected: each === precision() }, `${percent(each)} right`)));
  choice.addEventListener("change", () => {
    localStorage.setItem("precision", choice.value);
    reliance(place, job, download);
  });
  const kept = made?.threshold ?? null;
  const sides = job.trusted ? [{ trusted: true }, { trusted: false }]
    : kept === null ? [] : [{ above: kept, status: "answered" }, { rest: kept }];
  const side = (query, at) => el("p", {}, el("a", { class: "act", href: withQuery(`#/jobs/${job.id}`, query) },
    at ? "Rows to review" : "Answers to take"), ["csv", "xlsx"].map((format) =>
    [" ", download(`as ${format}`, `/v1/jobs/${job.id}/results`, { format, bom: format === "csv" || null, ...query })]));
  const questions = made?.questions?.filter(({ threshold: from }) => from !== null) ?? []; // of documents
  place.replaceChildren(el("h2", {}, "Which answers can you rely on?"), el("p", { role: "status" }, promised(made)),
    questions.map(({ question, threshold: from, share }) => el("p", {}, el("a", {
      href: withQuery(`#/jobs/${job.id}`, { question, above: from }),
    }, `Question ${question + 1}`), `: from a score of ${score(from)} on, ${percent(share)} of its rows`)),
    el("div", { class: "row" }, el("p", {}, el("a", { class: "act", href: `#/jobs/${job.id}/review` }, "Review")), sides.map(side),
      choice), made?.curve.length ? el("figure", {}, curve(made)) : "");
}
