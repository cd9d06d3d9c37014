// One prediction: its question, its answer, and the context with the answer marked in it.
import { get } from "./api.js";
import { el, words } from "./dom.js";
import { short, text } from "./preview.js";

// Characters of a context that are shown around an answer before it is unfolded.
export const AROUND = 220;

// `whole` gives the context of a row that came cut.
export function prediction(row, whole) {
  const place = row.document ? el("span", {}, row.document, row.page ? `, page ${row.page}` : "") : null;
  const head = el("div", { class: "head" }, el("span", {}, `row ${row.row}${row.id ? ` (${row.id})` : ""}`), place, quality(row), flags(row));
  return el("li", { tabindex: "-1" }, head, el("p", { class: "question" }, row.question || row.raw || "(no question)"),
    outcome(row), context(row, whole), alternatives(row), others(row));
}

// The whole context of a row.
export const whole = (id) => async ({ row }) => (await get(`/v1/jobs/${id}/rows`, { offset: row, limit: 1 })).predictions[0].context;

// The status of a row or a group, its score and how right it is.
export const quality = ({ status, score, f1 }) => [el("span", { class: status }, words(status)),
  score === undefined ? null : el("span", {}, `score ${score.toFixed(3)}`),
  f1 === undefined || f1 === null ? null : el("span", {}, `F1 ${f1.toFixed(2)}`)];

export const flags = (row) => (row.flags || []).map((flag) => el("span", { class: "flag" }, words(flag)));

// The row's own columns, reference answers among them.
function others({ passthrough = {} }) {
  const list = Object.entries(passthrough).filter(([, value]) => value !== null && value !== "");
  return list.length ? el("dl", { class: "own" }, list.map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, short(text(value), 300))))) : null;
}

export function outcome(row) {
  if (row.status === "error") {
    return el("p", { class: "error" }, `${row.error.code}: ${row.error.message}`);
  }
  return row.status === "answered" ? el("p", {}, el("strong", {}, row.answer)) : null;
}

// Offsets are in code points, JavaScript's strings in UTF-16. `context_at`: where what came of a context begins.
function context(row, whole) {
  if (row.excerpt) { // of a document, whose whole text has a page of its own
    const points = Array.from(row.excerpt);
    const [start, end] = [row.start - row.excerpt_start, row.end - row.excerpt_start];
    const part = (first, last) => points.slice(first, last).join("").replaceAll("\f", " ");
    return el("p", { class: "context" }, row.excerpt_start ? "… " : "", part(0, start), el("mark", {}, part(start, end)), part(end), " …");
  }
  if (!row.context) {
    return null;
  }
  let points = Array.from(row.context);
  let at = row.context_at ?? 0;
  const length = row.context_length ?? points.length;
  const answered = row.status === "answered";
  const [start, end] = answered ? [row.start, row.end] : [0, 0];
  const from = Math.max(0, start - AROUND);
  const to = Math.min(length, end + AROUND);
  const shown = el("p", { class: "context" });
  const part = (first, last) => points.slice(first - at, last - at).join("");
  const show = (first, last) => shown.replaceChildren(
    first > 0 ? "… " : "", part(first, start), answered ? el("mark", {}, part(start, end)) : "",
    part(end, last), last < length ? " …" : "");
  show(from, to);
  if (from === 0 && to === length) {
    return shown;
  }
  const more = el("button", { class: "plain", type: "button", "aria-expanded": "false" }, "Whole context");
  more.addEventListener("click", async () => {
    const open = more.getAttribute("aria-expanded") !== "true";
    if (open && points.length < length) {
      [points, at] = [Array.from(await whole(row)), 0];
    }
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "Less" : "Whole context";
    open ? show(0, length) : show(from, to);
  });
  return el("div", {}, shown, more);
}

function alternatives(row) {
  if (!row.alternatives || !row.alternatives.length) {
    return null;
  }
  const others = row.alternatives.map(({ answer, score }) => el("li", {}, `${answer} (${score.toFixed(3)})`));
  return el("details", {}, el("summary", {}, `${others.length} alternatives`), el("ol", { start: 2 }, others));
}
