// The rows of a job, a page at a time, filtered as the address says.
import { get, withQuery } from "./api.js";
import { count, el, field, nav, words } from "./dom.js";
import { AROUND, prediction, whole } from "./prediction.js";

const [PAGE, MOST] = [25, 500];
const FILTERS = ["status", "flag", "above", "below", "text", "rest", "trusted"];
// The offset of the page before, by the address of a page: of filtered rows it does not follow from the offset.
const before = new Map();

// The form, with the flags of the job as soon as they are known.
export function filters(id, values) {
  const choice = (name, choices) => el("select", { name }, options(choices, values.get(name)));
  const input = (name, attributes) => el("input", { name, value: values.get(name), ...attributes });
  const score = { type: "number", min: 0, max: 1, step: "any" };
  const flag = choice("flag", [["", "any or none"], ...values.get("flag") ? [[values.get("flag")]] : []]);
  const form = el("form", { class: "row" },
    field("Order", choice("order", [["", "as submitted"], ["score", "lowest score first"]])),
    field("Status", choice("status", [["", "all"], ["answered"], ["no_answer"], ["error"]])),
    field("Score from", input("above", score)), field("Score below", input("below", score)),
    field("Flag", flag), field("Text", input("text", { type: "search" })), el("button", {}, "Show"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = withQuery(`#/jobs/${id}`, Object.fromEntries(new FormData(form)));
  });
  const offer = (flags) => {
    const chosen = flag.value;
    const choices = Object.entries(flags).map(([name, number]) => [name, `${words(name)} (${count(number)})`]);
    flag.replaceChildren(...options([["", "any or none"], ...choices, ...chosen && !flags[chosen] ? [[chosen]] : []], chosen));
  };
  return { form, offer };
}

const options = (choices, chosen) =>
  choices.map(([value, text]) => el("option", { value, selected: value === chosen }, text || words(value)));

// So many of the rows that a query matches, in as many requests as that takes.
export async function take(id, query, limit, searched = () => {}) {
  const predictions = [];
  let part = { next: Number(query.offset ?? 0), ready: true };
  while (part.ready && part.next !== null && predictions.length < limit) {
    part = await get(`/v1/jobs/${id}/rows`, { ...query, offset: part.next, limit: Math.min(MOST, limit - predictions.length) });
    predictions.push(...part.predictions);
    searched(part);
  }
  return { ...part, predictions };
}

export async function page(place, id, values) {
  const query = Object.fromEntries(values);
  const part = await take(id, { ...query, around: AROUND }, PAGE, ({ next, rows }) => place.replaceChildren(
    el("p", { class: "dim", role: "status" }, `searched ${count(next ?? rows)} of ${count(rows)} rows`)));
  const list = part.predictions;
  const of = query.question !== undefined && list.length // of documents
    ? el("p", {}, "Only ", el("strong", {}, list[0].question), " ", el("a", { href: `#/jobs/${id}` }, "All questions")) : "";
  place.replaceChildren(of, el("ol", { class: "answers" }, list.map((row) => prediction(row, whole(id)))),
    list.length ? "" : el("p", { class: "dim" }, part.ready ? "No such row." : "No row is ready yet."), pages(id, query, part));
}

function pages(id, query, { next, ready }) {
  const to = (offset) => withQuery(`#/jobs/${id}`, { ...query, offset: offset || null });
  const offset = Number(query.offset ?? 0);
  const previous = before.get(to(offset)) ?? (chosen(query) ? null : Math.max(0, offset - PAGE));
  const more = next !== null && ready;
  more && before.set(to(next), offset);
  return nav("Pages", [["First rows", offset > 0 && to(0)], ["Previous rows", offset > 0 && previous !== null && to(previous)],
    ["Next rows", more && to(next)]]);
}

// What the filters are, for a request; null if there are none. Ordered by score, only answers are shown.
export function chosen(query) {
  const set = Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]]));
  const all = Object.keys(set).length ? set : null;
  return all && query.order === "score" && !query.status ? { ...all, status: "answered" } : all;
}

// Says how many rows match, as the count goes on.
export async function tally(place, id, values, signal) {
  const query = chosen(Object.fromEntries(values));
  let number = 0;
  for (let at = 0; query && at !== null && !signal.aborted;) {
    const part = await get(`/v1/jobs/${id}/matches`, { ...query, offset: at });
    number += part.count;
    at = part.ready ? part.next : null;
    const searched = part.next === null ? count(part.rows) : `the first ${count(part.next)} of ${count(part.rows)}`;
    place.textContent = `${count(number)} of ${searched} rows match.`;
  }
}

// Calls what belongs to a key, unless somebody is typing.
export function keys(signal, acts) {
  document.addEventListener("keydown", (event) => {
    const act = acts[event.key.toLowerCase()];
    const typing = event.ctrlKey || event.metaKey || event.altKey || /input|select|textarea/i.test(event.target.tagName);
    if (act && !typing) act(event);
  }, { signal });
}

// j and k move from row to row.
export function walk(content, signal, moved = () => {}) {
  const move = (step) => () => {
    const rows = [...content.querySelectorAll(".answers > li")];
    const next = rows[Math.max(0, rows.indexOf(document.activeElement.closest(".answers > li")) + step)];
    if (next) {
      next.focus();
      next.scrollIntoView({ block: "nearest" });
      moved(next);
    }
  };
  keys(signal, { j: move(1), k: move(-1) });
}
