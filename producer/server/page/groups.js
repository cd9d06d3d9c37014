// The groups of a job, a page at a time. A group opens into its passages, of which the chosen one is marked.
import { get, withQuery } from "./api.js";
import { counted, el, nav } from "./dom.js";
import { AROUND, flags, outcome, prediction, quality, whole } from "./prediction.js";
import { complaint } from "./remedy.js";
import { take } from "./rows.js";

const [PAGE, MOST] = [25, 100];
// Rows without a group may be between those of one.
const SLACK = 500;

export async function groupPage(place, id, values) {
  const offset = Number(values.get("offset") ?? 0);
  const [part, { groups: { scattered } }] = await Promise.all([
    get(`/v1/jobs/${id}/groups`, { offset, limit: PAGE }), get(`/v1/jobs/${id}/manifest`)]);
  const to = (start) => withQuery(`#/jobs/${id}`, { by: "group", offset: start || null });
  place.replaceChildren(el("ol", { class: "answers" }, part.groups.map((group) => item(group, id, scattered))),
    nav("Pages", [["Previous groups", offset > 0 && to(Math.max(0, offset - PAGE))], ["Next groups", part.next && to(part.next)]]));
}

function item(group, id, scattered) {
  const head = el("div", { class: "head" }, el("span", {}, `group ${group.group}`), quality(group), flags(group));
  const inside = el("div");
  const open = el("details", {}, el("summary", {}, counted(group.passages, "passage")), inside);
  open.addEventListener("toggle", async () => {
    inside.replaceChildren(...await passages(group, id, scattered).catch((problem) => [complaint(problem)]));
  }, { once: true });
  return el("li", { tabindex: "-1" }, head, el("p", { class: "question" }, group.question || "(no question)"), outcome(group), open);
}

// The passages of a group, the first of them if they are many, and the chosen one. If groups are not scattered, they are near it.
async function passages({ group, row: chosen, passages: all }, id, scattered) {
  const offset = scattered ? 0 : Math.max(0, chosen - all - SLACK);
  const { predictions: rows } = await take(id, { group, offset, around: AROUND }, Math.min(all, MOST));
  if (!rows.some(({ row }) => row === chosen)) {
    rows.unshift(...(await take(id, { offset: chosen, around: AROUND }, 1)).predictions);
  }
  const items = rows.map((row) => prediction(row, whole(id), row.row === chosen));
  const more = rows.length < all ? el("p", { class: "dim" }, `${rows.length} of ${counted(all, "passage")}`) : "";
  return [el("ol", { class: "answers" }, items), more];
}
