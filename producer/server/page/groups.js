// The groups of a job, a page at a time. A group opens into its passages, of which the chosen one is marked.
import { get, withQuery } from "./api.js";
import { count, el } from "./dom.js";
import { AROUND, flags, outcome, prediction, quality, whole } from "./prediction.js";
import { complaint } from "./remedy.js";

const PAGE = 25;
const MOST = 100;
// Rows without a group may be between those of one.
const SLACK = 500;

export async function groupPage(place, id, values) {
  const offset = Number(values.get("offset") ?? 0);
  const [part, { groups: { scattered } }] = await Promise.all([
    get(`/v1/jobs/${id}/groups`, { offset, limit: PAGE }), get(`/v1/jobs/${id}/manifest`)]);
  const to = (start) => withQuery(`#/jobs/${id}`, { by: "group", offset: start || null });
  const links = [
    offset > 0 ? el("a", { href: to(Math.max(0, offset - PAGE)) }, "Previous groups") : null,
    part.next === null ? null : el("a", { href: to(part.next) }, "Next groups"),
  ];
  place.replaceChildren(el("ol", { class: "answers" }, part.groups.map((group) => item(group, id, scattered))),
    el("nav", { "aria-label": "Pages" }, links));
}

function item(group, id, scattered) {
  const head = el("div", { class: "head" }, el("span", {}, `group ${group.group}`), quality(group), flags(group));
  const inside = el("div");
  const open = el("details", {}, el("summary", {}, `${count(group.passages)} ${group.passages === 1 ? "passage" : "passages"}`), inside);
  open.addEventListener("toggle", async () => {
    inside.replaceChildren(...await passages(group, id, scattered).catch((problem) => [complaint(problem)]));
  }, { once: true });
  return el("li", { tabindex: "-1" }, head, el("p", { class: "question" }, group.question || "(no question)"), outcome(group), open);
}

async function passages(group, id, scattered) {
  const rows = await rowsOf(group, id, scattered);
  const items = rows.map((row) => {
    const made = prediction(row, whole(id));
    if (row.row === group.row) {
      made.classList.add("chosen");
      made.querySelector(".head").prepend(el("span", { class: "flag" }, "chosen"));
    }
    return made;
  });
  const more = rows.length < group.passages ? el("p", { class: "dim" }, `${rows.length} of ${count(group.passages)} passages`) : null;
  return [el("ol", { class: "answers" }, items), more].filter(Boolean);
}

// The rows of a group, the first of them if they are many, and the chosen one. If groups are not scattered, they are near it.
async function rowsOf({ group, row, passages: all }, id, scattered) {
  const list = [];
  const limit = Math.min(all, MOST);
  let at = scattered ? 0 : Math.max(0, row - all - SLACK);
  do {
    const part = await get(`/v1/jobs/${id}/rows`, { group, offset: at, limit: limit - list.length, around: AROUND });
    list.push(...part.predictions);
    at = part.next;
  } while (scattered && at !== null && list.length < limit);
  if (!list.some((each) => each.row === row)) {
    list.unshift(...(await get(`/v1/jobs/${id}/rows`, { offset: row, limit: 1, around: AROUND })).predictions);
  }
  return list;
}
