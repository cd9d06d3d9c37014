// The rows of a job, a page at a time, filtered as the address says.
import { get, withQuery } from "./api.js";
import { count, el, field, words } from "./dom.js";
import { AROUND, prediction, whole } from "./prediction.js";

const PAGE = 25;
const FILTERS = ["status", "flag", "above", "below", "text"];
// The offset of the page before, by the address of a page: of filtered rows it does not follow from the offset.
const before = new Map();

// The form, with the flags of the job as soon as they are known.
export function filters(id, values) {
  const status = select("status", [["", "all"], ["answered"], ["no_answer"], ["error"]], values);
  const flag = select("flag", [["", "any or none"], ...values.get("flag") ? [[values.get("flag")]] : []], values);
  const score = (name) => el("input", { name, type: "number", min: 0, max: 1, step: "any", value: values.get(name) });
  const text = el("input", { name: "text", type: "search", value: values.get("text") });
  const order = select("order", [["", "as submitted"], ["score", "lowest score first"]], values);
  const form = el("form", { class: "row" }, field("Order", order), field("Status", status), field("Score from", score("above")),
    field("Score below", score("below")), field("Flag", flag), field("Text", text), el("button", {}, "Show"));
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

const select = (name, choices, values) => el("select", { name }, options(choices, values.get(name)));
const options = (choices, chosen) =>
  choices.map(([value, text]) => el("option", { value, selected: value === chosen }, text || words(value)));

export async function page(place, id, values) {
  const query = Object.fromEntries(values);
  const { question } = query; // of documents
  let part = await get(`/v1/jobs/${id}/rows`, { ...query, limit: PAGE, around: AROUND });
  const list = part.predictions;
  while (list.length < PAGE && part.next !== null && part.ready) {
    place.replaceChildren(el("p", { class: "dim", role: "status" }, `searched ${count(part.next)} of ${count(part.rows)} rows`));
    part = await get(`/v1/jobs/${id}/rows`, { ...query, offset: part.next, limit: PAGE - list.length, around: AROUND });
    list.push(...part.predictions);
  }
  const none = list.length ? null : el("p", { class: "dim" }, part.ready ? "No such row." : "No row is ready yet.");
  place.replaceChildren(...[el("ol", { class: "answers" }, list.map((row) => prediction(row, whole(id)))), none,
    el("nav", { "aria-label": "Pages" }, links(id, query, part))].filter(Boolean));
  if (question !== undefined && list.length) {
    place.prepend(el("p", {}, "Only ", el("strong", {}, list[0].question), " ", el("a", { href: `#/jobs/${id}` }, "All questions")));
  }
}

function links(id, query, { next, ready }) {
  const to = (offset) => withQuery(`#/jobs/${id}`, { ...query, offset: offset || null });
  const offset = Number(query.offset ?? 0);
  const made = [];
  if (offset > 0) {
    const filtered = FILTERS.some((name) => query[name]);
    const previous = before.get(to(offset)) ?? (filtered ? null : Math.max(0, offset - PAGE));
    made.push(el("a", { href: to(0) }, "First rows"));
    if (previous !== null) {
      made.push(el("a", { href: to(previous) }, "Previous rows"));
    }
  }
  if (next !== null && ready) {
    before.set(to(next), offset);
    made.push(el("a", { href: to(next) }, "Next rows"));
  }
  return made;
}

// What the filters are, for a request; null if there are none. Ordered by score, only answers are shown.
export function chosen(values) {
  const query = Object.fromEntries(FILTERS.map((name) => [name, values.get(name)]).filter(([, value]) => value));
  if (!Object.keys(query).length) {
    return null;
  }
  return values.get("order") === "score" && !query.status ? { ...query, status: "answered" } : query;
}

// Says how many rows match, as the count goes on.
export async function tally(place, id, values, signal) {
  const query = chosen(values);
  let number = 0;
  for (let at = 0; query && at !== null && !signal.aborted;) {
    const part = await get(`/v1/jobs/${id}/matches`, { ...query, offset: at });
    number += part.count;
    at = part.ready ? part.next : null;
    const searched = part.next === null ? count(part.rows) : `the first ${count(part.next)} of ${count(part.rows)}`;
    place.textContent = `${count(number)} of ${searched} rows match.`;
  }
}

// j and k move from row to row.
export function walk(content, signal, moved = () => {}) {
  document.addEventListener("keydown", (event) => {
    if (!["j", "k"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey ||
      /input|select|textarea/i.test(event.target.tagName)) {
      return;
    }
    const rows = [...content.querySelectorAll(".answers > li")];
    const at = rows.indexOf(document.activeElement.closest(".answers > li"));
    const next = rows[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
    if (next) {
      next.focus();
      next.scrollIntoView({ block: "nearest" });
      moved(next);
    }
  }, { signal });
}
