// One prediction: its question, its answer, and the context with the answer marked in it.
import { get } from "./api.js";
import { button, counted, el, words } from "./dom.js";
import { short, text } from "./preview.js";

// Characters of a context that are shown around an answer before it is unfolded.
export const AROUND = 220;

// `whole` gives the context of a row that came cut; `chosen`: of a group it is the row that has its answer.
export function prediction(row, whole, chosen) {
  const head = el("div", { class: "head" }, chosen ? flag("chosen") : null, named(row), quality(row), flags(row));
  const question = el("p", { class: "question" }, row.question || row.raw || "(no question)");
  return el("li", { tabindex: "-1", class: chosen && "chosen" }, head, question, outcome(row), context(row, whole), alternatives(row),
    others(row));
}

// The whole context of a row.
export const whole = (id) => async ({ row }) => (await get(`/v1/jobs/${id}/rows`, { offset: row, limit: 1 })).predictions[0].context;

export const named = ({ row, id, document, page }) => [el("span", {}, `row ${row}${id ? ` (${id})` : ""}`),
  document ? el("span", {}, document, page ? `, page ${page}` : "") : null];

// The status of a row or a group, its score and how right it is.
export const quality = ({ status, score, f1 }) => [el("span", { class: status }, words(status)),
  score === undefined ? null : el("span", {}, `score ${score.toFixed(3)}`),
  f1 === undefined || f1 === null ? null : el("span", {}, `F1 ${f1.toFixed(2)}`)];

const flag = (name) => el("span", { class: "flag" }, words(name));
export const flags = (row) => (row.flags || []).map(flag);

// The row's own columns, reference answers among them.
export function others({ passthrough = {} }) {
  const list = Object.entries(passthrough).filter(([, value]) => value !== null && value !== "");
  return list.length ? el("dl", { class: "own" }, list.map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, short(text(value), 300))))) : null;
}

export const outcome = ({ status, answer, error }) => (status === "error" ? el("p", { class: "error" }, `${error.code}: ${error.message}`)
  : status === "answered" ? el("p", {}, el("strong", {}, answer)) : null);

// Offsets are in code points, JavaScript's strings in UTF-16. `at`: where what came of a context begins. Of a document came
// an excerpt, and its whole text has a page of its own.
function context(row, whole) {
  if (!row.excerpt && !row.context) return null;
  let [points, at] = [Array.from(row.excerpt || row.context), (row.excerpt ? row.excerpt_start : row.context_at) ?? 0];
  const length = row.context_length ?? (row.excerpt ? Infinity : points.length);
  const answered = row.status === "answered";
  const [start, end] = answered ? [row.start, row.end] : [0, 0];
  const shown = el("p", { class: "context" });
  const part = (first, last) => points.slice(Math.max(0, first - at), last - at).join("").replaceAll("\f", " ");
  const show = (first, last) => shown.replaceChildren(first > 0 ? "… " : "", part(first, start),
    answered ? el("mark", {}, part(start, end)) : "", part(end, last), last < length ? " …" : "");
  const cut = [Math.max(0, start - AROUND), Math.min(length, end + AROUND)];
  show(...cut);
  if (row.excerpt || (cut[0] === 0 && cut[1] === length)) return shown;
  let open = false;
  const more = button("Whole context", async () => {
    open = !open;
    if (open && points.length < length) [points, at] = [Array.from(await whole(row)), 0];
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "Less" : "Whole context";
    show(...open ? [0, length] : cut);
  });
  more.setAttribute("aria-expanded", "false");
  return el("div", {}, shown, more);
}

const alternatives = ({ alternatives: list }) => (list?.length ? el("details", {}, el("summary", {}, counted(list.length, "alternative")),
  el("ol", { start: 2 }, list.map(({ answer, score }) => el("li", {}, `${answer} (${score.toFixed(3)})`)))) : null);
