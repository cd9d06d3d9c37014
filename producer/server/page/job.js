// A job: its status, what can be done with it, and its rows.
import { ask, get, here, post, withQuery } from "./api.js";
import { documents } from "./document.js";
import { button, count, duration, el, expected, hint, nav, state, when, words } from "./dom.js";
import { groupPage } from "./groups.js";
import { histogram } from "./histogram.js";
import { rate } from "./jobs.js";
import { complaint, remedy } from "./remedy.js";
import { chosen, filters, page, tally, walk } from "./rows.js";
import { reliance } from "./trust.js";

const ENDED = ["completed", "completed_with_errors", "failed", "cancelled"];
const FORMATS = [["json"], ["csv", { bom: true }], ["xlsx"], ["parquet"]];
const MOST = 100;

export async function job(content, { id: prefix, values, signal, tell }) {
  document.title = `${prefix} – bulkqa`;
  const [about, actions, relied, asked] = [el("div", { class: "panel" }), el("div", { class: "row" }), el("section"), el("div")];
  let latest = await get(`/v1/jobs/${prefix}`);
  const { id, metadata: { name }, groups, input } = latest;
  const byGroup = Boolean(groups) && values.get("by") === "group";
  const view = byGroup ? groupView(id, values) : rowView(id, values, signal);
  const tabs = nav("Rows or groups", [["Rows", `#/jobs/${id}`, !byGroup], ["Groups", `#/jobs/${id}?by=group`, byGroup]]);
  content.append(el("h1", {}, name ? `${name} ` : "", el(name ? "small" : "span", { class: name ? "dim" : null }, `Job ${id}`)),
    about, actions, relied, asked, groups ? tabs : "", ...view.elements);
  const report = (problem) => tell(problem.message);
  const show = (status) => {
    tell("");
    const before = latest;
    latest = status;
    about.replaceChildren(...facts(status));
    actions.replaceChildren(...buttons(status, byGroup ? { by: "group" } : chosen(Object.fromEntries(values)),
      (problem) => content.prepend(complaint(problem)), show));
    if (!ENDED.includes(status.status)) return;
    const relies = status.request_counts.answered && !byGroup && reliance(relied, status, download);
    Promise.all([compare(actions, status), related(about, status), relies, ENDED.includes(before.status) || load()]).catch(report);
  };
  const load = () => view.load(ENDED.includes(latest.status));
  show(latest);
  walk(content, signal);
  if (!ENDED.includes(latest.status)) follow(id, { show, signal, tell });
  if (input.format === "documents") documents(asked, id, values).catch(report);
  await load();
}

function rowView(id, values, signal) {
  const [rows, spread, matching] = [el("div"), el("figure"), el("span", { role: "status" })];
  const { form, offer } = filters(id, values);
  const load = async () => {
    histogram(spread, id, values, signal, ({ flags }) => offer(flags));
    await page(rows, id, values);
    await tally(matching, id, values, signal);
  };
  const keys = el("p", { class: "dim hint" }, matching, " ", hint(["j", "next row"], ["k", "previous row"]));
  return { elements: [el("h2", {}, "Rows"), spread, form, keys, rows], load };
}

function groupView(id, values) {
  const groups = el("div");
  const load = async (ended) => (ended ? groupPage(groups, id, values)
    : groups.replaceChildren(el("p", { class: "dim" }, "The groups are published when the job has ended.")));
  return { elements: [el("h2", {}, "Groups"), groups], load };
}

function follow(id, { show, signal, tell }) {
  const events = new EventSource(here(`/v1/jobs/${id}/events`));
  const on = (name, act) => events.addEventListener(name, (event) => act(event.data && JSON.parse(event.data)));
  signal.addEventListener("abort", () => events.close());
  on("progress", show);
  on("end", show);
  on("end", () => events.close());
  on("trouble", ({ detail }) => tell(detail));
  on("error", () => tell("The server does not answer. This page tries again by itself."));
}

const link = (id) => el("a", { href: `#/jobs/${id}` }, id);

function facts(job) {
  const { total, pending, ...counts } = job.request_counts;
  const { name, errors_of: first, ...labels } = job.metadata;
  const outcomes = ({ answered, no_answer: none, failed }) =>
    `${count(answered)} answered, ${count(none)} without an answer, ${count(failed)} failed`;
  return [el("progress", { value: job.progress, max: 1, "aria-label": "done" }), el("dl", {}, defined([
    ["State", state(job.status)],
    ["Reason", job.reason && [job.reason.message, job.reason.remedy ? " – " : "", remedy(job.reason.remedy_parts)]],
    ["Rows", `${count(total)}: ${outcomes(counts)}, ${count(pending)} pending`],
    ["Groups", job.groups && `${count(job.groups.total)}: ${outcomes(job.groups)}`],
    ["Trusted", job.trusted && [`${count(job.trusted.trusted)} rows, by the promise of `, link(job.trusted.job),
      `; ${count(job.trusted.rest)} to review`, job.trusted.warning && el("div", { class: "warning" }, job.trusted.warning)]],
    ["Errors", job.top_errors.map(([code, number]) => `${count(number)} ${words(code)}`).join(", ")],
    ["Rate", rate(job)],
    ["Expected", expected(job.forecast)],
    ["Not scored", [job.reused && `${count(job.reused)} rows of earlier jobs, which saves ${duration(job.saved_seconds)}`,
      job.repeated && `${count(job.repeated)} equal to another row`].filter(Boolean).join("; ")],
    ["Quality", measured(job.evaluation)],
    ["Quality of groups", measured(job.group_evaluation)],
    ["Model", [job.model.name, job.model.precision].filter(Boolean).join(", ")],
    ["File", job.input.name],
    ["Corrects", first && [link(first), ": its failed rows"]],
    ["Labels", Object.entries(labels).map(([key, value]) => `${key}: ${value}`).join(", ")],
    ["Submitted", when(job.created_at)],
    ["Ended", when(job.finished_at)],
  ]))];
}

const measured = (quality) => (quality ? `EM ${quality.exact_match.toFixed(1)}, F1 ${quality.f1.toFixed(1)}` : "");

const defined = (list) => list.filter(([, value]) => value?.length !== 0 && value)
  .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);

// `query`: what the rows are filtered by, or null.
function buttons({ id, status, error_uri: errors, request_counts: { failed } }, query, refuse, show) {
  const act = (what, then = show) => post(`/v1/jobs/${id}/${what}`).then(then, refuse);
  if (!ENDED.includes(status)) {
    const [text, what] = status === "paused" ? ["Resume", "resume"] : ["Pause", "pause"];
    return [button(text, () => act(what)), button("Cancel", () => act("cancel"), "danger")];
  }
  const retry = button("Retry failed rows", () => act("retry", (job) => location.assign(`#/jobs/${job.id}`)));
  const what = query?.by ? "Groups" : query ? "Matching answers" : "Answers";
  const links = FORMATS.map(([format, more]) => download(`${what} as ${format}`, `/v1/jobs/${id}/results`, { format, ...more, ...query }));
  const remove = () => confirm(`Delete job ${id} with all its rows and answers?`) &&
    ask(`/v1/jobs/${id}`, { method: "DELETE" }).then(() => { location.hash = "#/"; }, refuse);
  const review = query && !query.by ? el("a", { href: withQuery(`#/jobs/${id}/review`, query) }, "Review matching rows") : "";
  return [...links, review, errors ? download("Failed rows", errors) : "", failed || status === "cancelled" ? retry : "",
    button("Delete", remove, "danger")];
}

export const download = (text, path, query = {}) => el("a", { href: here(withQuery(path, query)), download: true }, text);

// The jobs of corrected error files of this one.
async function related(about, { id, error_uri: errors }) {
  const { jobs } = errors ? await get("/v1/jobs", { metadata: `errors_of=${id}`, limit: MOST }) : { jobs: [] };
  about.querySelector("dl").append(...defined([["Corrected in", jobs.flatMap((job, at) => [at ? ", " : "", link(job.id)])]]));
}

// A choice of another job of as many rows, to see what it answers differently.
async function compare(actions, { id, request_counts: { total } }) {
  const { jobs } = await get("/v1/jobs", { limit: MOST });
  const others = jobs.filter((job) => job.id !== id && job.request_counts.total === total && ENDED.includes(job.status)).reverse();
  const choice = el("select", { "aria-label": "Compare with", onchange: () => { location.hash = `#/diff/${id}/${choice.value}`; } },
    el("option", { value: "" }, "Compare with …"),
    others.map((job) => el("option", { value: job.id }, `${job.metadata.name ?? job.input.name}, ${job.model.name}, ${job.id}`)));
  if (others.length) actions.append(choice);
}
