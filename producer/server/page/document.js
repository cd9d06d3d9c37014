// A document of a job, with its answers marked in the text; and the list of the documents.
import { get, read, withQuery } from "./api.js";
import { button, counted, el, hint, nav, words } from "./dom.js";
import { take, walk } from "./rows.js";

const PAGE = 20;

// The documents that a job asks, the page of them that the address names.
export async function documents(place, id, values) {
  const first = Number(values.get("documents") ?? 0);
  const part = await get(`/v1/jobs/${id}/documents`, { offset: first, limit: PAGE });
  const to = (start) => withQuery(`#/jobs/${id}`, { ...Object.fromEntries(values), documents: start || null });
  place.replaceChildren(el("h2", {}, counted(part.count, "document")),
    el("ol", { class: "documents", start: first + 1 }, part.documents.map(({ name, ...document }, number) =>
      el("li", {}, el("a", { href: `#/jobs/${id}/documents/${first + number}` }, name), " ", about(document)))),
    nav("Pages of documents", [["Previous documents", first > 0 && to(Math.max(0, first - PAGE))],
      ["Next documents", first + PAGE < part.count && to(first + PAGE)]]));
}

const about = ({ pages, warnings, error }) => (error ? el("span", { class: "error" }, `${words(error.code)}: ${error.message}`)
  : el("span", { class: "dim" }, [pages && counted(pages, "page"), ...warnings].filter(Boolean).join("; ")));

export async function document_(content, { id, parts: [, , , place], signal }) {
  const number = Number(place);
  const { documents: [{ name, ...about_ }], count: all, questions } = await get(`/v1/jobs/${id}/documents`, { offset: number, limit: 1 });
  document.title = `${name} – bulkqa`;
  const { predictions: rows } = await take(id, { offset: number * questions }, questions);
  const text = about_.error ? "" : await read(`/v1/jobs/${id}/documents/${number}/text`);
  const to = (other) => other >= 0 && other < all && `#/jobs/${id}/documents/${other}`;
  content.append(
    el("h1", {}, name, " ", el("small", {}, about(about_))),
    nav("Documents", [["The job", `#/jobs/${id}`], ["Previous document", to(number - 1)], ["Next document", to(number + 1)]]),
    el("p", { class: "dim hint" }, hint(["j", "next answer"], ["k", "previous answer"])),
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

function question(row, id, questions) {
  const at = row.page && `, page ${row.page}`;
  const outcome = row.status === "answered"
    ? el("p", {}, button(row.answer, () => show(row.row), "plain inline"), ` score ${row.score.toFixed(3)}`, at)
    : el("p", { class: row.status }, row.error?.message ?? words(row.status));
  return el("li", { tabindex: "-1", "data-of": row.row }, el("p", { class: "question" }, row.question), outcome,
    el("a", { href: withQuery(`#/jobs/${id}`, { question: row.row % questions }) }, "in all documents"));
}

// The text, cut wherever an answer begins or ends: answers may overlap. Their offsets are in code points.
function marked(text, rows) {
  const points = Array.from(text);
  const spans = rows.filter((row) => row.status === "answered");
  const cuts = [...new Set([0, ...spans.flatMap(({ start, end }) => [start, end]), points.length])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, at) => {
    const piece = points.slice(cuts[at], end).join("").split("\f").flatMap((page, number) => (number ? [el("hr"), page] : [page]));
    const inside = spans.filter((span) => span.start <= cuts[at] && end <= span.end);
    const first = inside.find((span) => span.start === cuts[at]);
    return inside.length ? el("mark", { "data-row": first?.row, title: inside.map((span) => span.question).join("\n") }, piece) : piece;
  });
}
