// A document of a job, with its answers marked in the text; and the list of the documents.
import { get, read, withQuery } from "./api.js";
import { count, el, words } from "./dom.js";
import { walk } from "./rows.js";

const PAGE = 20;
const MOST = 500;

// The documents that a job asks, a page of them at a time.
export async function documents(place, id, first = 0) {
  const part = await get(`/v1/jobs/${id}/documents`, { offset: first, limit: PAGE });
  const line = ({ name, pages, warnings, error }, number) => el("li", {},
    el("a", { href: `#/jobs/${id}/documents/${first + number}` }, name),
    el("span", { class: error ? "error" : "dim" }, about(pages, warnings, error)));
  const turn = (to, text) => el("button", { class: "plain", type: "button", onclick: () => documents(place, id, to) }, text);
  place.replaceChildren(el("h2", {}, `${count(part.count)} documents`),
    el("ol", { class: "documents", start: first + 1 }, part.documents.map(line)),
    el("div", { class: "go" }, first > 0 ? turn(Math.max(0, first - PAGE), "Previous documents") : null,
      first + PAGE < part.count ? turn(first + PAGE, "Next documents") : null));
}

function about(pages, warnings, error) {
  const facts = [pages && `${count(pages)} ${pages === 1 ? "page" : "pages"}`, ...warnings];
  return error ? ` ${words(error.code)}: ${error.message}` : ` ${facts.filter(Boolean).join("; ")}`;
}

export async function document_(content, { id, other, signal }) {
  const number = Number(other);
  const { documents: [{ name, pages, warnings, error }], count: all, questions } =
    await get(`/v1/jobs/${id}/documents`, { offset: number, limit: 1 });
  document.title = `${name} – bulkqa`;
  const rows = await answers(id, number * questions, questions);
  const text = error ? "" : await read(`/v1/jobs/${id}/documents/${number}/text`);
  const link = (to, title) => (to < 0 || to >= all ? null : el("a", { href: `#/jobs/${id}/documents/${to}` }, title));
  content.append(
    el("h1", {}, name, " ", el("small", { class: error ? "error" : "dim" }, about(pages, warnings, error))),
    el("nav", { "aria-label": "Documents" }, el("a", { href: `#/jobs/${id}` }, "All of the job"),
      link(number - 1, "Previous document"), link(number + 1, "Next document")),
    el("p", { class: "dim hint" }, "Keys: ", el("kbd", {}, "j"), " next answer, ", el("kbd", {}, "k"), " previous answer."),
    el("div", { class: "beside" }, el("ol", { class: "answers" }, rows.map((row) => question(row, id, questions))),
      el("div", { class: "text", tabindex: "0", role: "region", "aria-label": "Text" }, marked(text, rows))));
  walk(content, signal, (row) => show(row.dataset.of));
}

// Shows where in the text the answer of a row is.
function show(row) {
  document.querySelector("mark.here")?.classList.remove("here");
  const mark = document.querySelector(`[data-row="${row}"]`);
  mark?.classList.add("here");
  mark?.scrollIntoView({ block: "center" });
}

// The rows of a document, of which a request gives so many.
async function answers(id, first, questions) {
  const rows = [];
  while (rows.length < questions) {
    const part = await get(`/v1/jobs/${id}/rows`, { offset: first + rows.length, limit: Math.min(MOST, questions - rows.length) });
    rows.push(...part.predictions);
    if (!part.ready || !part.predictions.length) {
      break;
    }
  }
  return rows;
}

function question(row, id, questions) {
  const at = row.page ? `, page ${row.page}` : "";
  const outcome = row.status === "answered"
    ? el("p", {}, el("button", { class: "plain inline", type: "button", onclick: () => show(row.row) }, row.answer), ` score ${row.score.toFixed(3)}${at}`)
    : el("p", { class: row.status }, row.status === "error" ? row.error.message : words(row.status));
  return el("li", { tabindex: "-1", "data-of": row.row }, el("p", { class: "question" }, row.question), outcome,
    el("a", { href: withQuery(`#/jobs/${id}`, { question: row.row % questions }) }, "in all documents"));
}

// The text, cut wherever an answer begins or ends: answers may overlap.
function marked(text, rows) {
  const spans = rows.filter((row) => row.status === "answered");
  const cuts = [...new Set(spans.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const places = units(text, cuts);
  const edges = [0, ...places, text.length];
  const offsets = [0, ...cuts, Infinity];
  return edges.slice(1).map((end, at) => {
    const piece = text.slice(edges[at], end).split("\f").flatMap((page, number) => (number ? [el("hr"), page] : [page]));
    const inside = spans.filter((span) => span.start <= offsets[at] && offsets[at + 1] <= span.end);
    const first = inside.find((span) => span.start === offsets[at]);
    return inside.length ? el("mark", { "data-row": first?.row, title: inside.map((span) => span.question).join("\n") }, piece) : piece;
  });
}

// Where code points, in ascending order, are in a string, which counts in UTF-16.
function units(text, points) {
  const found = [];
  let point = 0;
  let unit = 0;
  for (const wanted of points) {
    for (; point < wanted; point += 1) {
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
    }
    found.push(unit);
  }
  return found;
}
