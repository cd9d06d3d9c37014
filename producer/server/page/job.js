// A job: its status, what can be done with it, and its rows.
import { ask, get, here, withQuery } from "./api.js";
import { documents } from "./document.js";
import { count, duration, el, state, when, words } from "./dom.js";
import { groupPage } from "./groups.js";
import { histogram } from "./histogram.js";
import { complaint, remedy } from "./remedy.js";
import { chosen, filters, page, tally, walk } from "./rows.js";

const ENDED = ["completed", "completed_with_errors", "failed", "cancelled"];
const FORMATS = [["json"], ["csv", { bom: true }], ["xlsx"], ["parquet"]];
const MOST = 100;

export async function job(content, { id, values, signal, tell }) {
  document.title = `${id} – bulkqa`;
  const about = el("div", { class: "panel" });
  const actions = el("div", { class: "row" });
  const asked = el("div");
  let latest = await get(`/v1/jobs/${id}`);
  const byGroup = Boolean(latest.groups) && values.get("by") === "group";
  const { elements, load } = byGroup ? groupView(latest, values) : rowView(latest, values, signal);
  const { name } = latest.metadata;
  content.append(el("h1", {}, name ? `${name} ` : "", el(name ? "small" : "span", { class: name ? "dim" : null }, `Job ${latest.id}`)),
    about, actions, asked, latest.groups ? tabs(latest, byGroup) : "", ...elements);
  const show = (status) => {
    latest = status;
    about.replaceChildren(...facts(status));
    actions.replaceChildren(...buttons(status, content, values, byGroup));
  };
  const ended = () => Promise.all([compare(actions, latest), related(about, latest)]).catch((problem) => tell(problem.message));
  show(latest);
  walk(content, signal);
  if (ENDED.includes(latest.status)) {
    ended();
  } else {
    follow(latest.id, show, signal, tell, () => {
      load(latest);
      ended();
    });
  }
  if (latest.input.format === "documents") {
    documents(asked, latest.id).catch((problem) => tell(problem.message));
  }
  await load(latest);
}

function rowView({ id }, values, signal) {
  const rows = el("div");
  const spread = el("figure");
  const matching = el("span", { role: "status" });
  const { form, offer } = filters(id, values);
  const load = async () => {
    histogram(spread, id, values, signal, ({ flags }) => offer(flags));
    await page(rows, id, values);
    await tally(matching, id, values, signal);
  };
  const keys = [" Keys: ", el("kbd", {}, "j"), " next row, ", el("kbd", {}, "k"), " previous row."];
  return { elements: [el("h2", {}, "Rows"), spread, form, el("p", { class: "dim hint" }, matching, keys), rows], load };
}

function groupView({ id }, values) {
  const groups = el("div");
  const load = async (job) => (ENDED.includes(job.status) ? groupPage(groups, id, values)
    : groups.replaceChildren(el("p", { class: "dim" }, "The groups are published when the job has ended.")));
  return { elements: [el("h2", {}, "Groups"), groups], load };
}

const tabs = ({ id }, byGroup) => el("nav", { "aria-label": "Rows or groups" },
  [["Rows", `#/jobs/${id}`, !byGroup], ["Groups", `#/jobs/${id}?by=group`, byGroup]].map(([text, href, here]) =>
    el("a", { href, "aria-current": here ? "page" : null }, text)));

function follow(id, show, signal, tell, ended) {
  const events = new EventSource(here(`/v1/jobs/${id}/events`));
  signal.addEventListener("abort", () => events.close());
  events.addEventListener("progress", (event) => {
    tell("");
    show(JSON.parse(event.data));
  });
  events.addEventListener("end", (event) => {
    events.close();
    show(JSON.parse(event.data));
    ended();
  });
  events.addEventListener("trouble", (event) => tell(JSON.parse(event.data).detail));
  events.addEventListener("error", () => tell("The server does not answer. This page tries again by itself."));
}

const link = (id) => el("a", { href: `#/jobs/${id}` }, id);

function facts(job) {
  const counts = job.request_counts;
  const { name, errors_of: first, ...labels } = job.metadata;
  const list = [
    ["State", state(job.status)],
    ["Because", job.reason && [job.reason.message, job.reason.remedy ? " – " : "", remedy(job.reason.remedy_parts)]],
    ["Rows", `${count(counts.total)}: ${count(counts.answered)} answered, ${count(counts.no_answer)} without an answer, ` +
      `${count(counts.failed)} failed, ${count(counts.pending)} pending`],
    ["Groups", job.groups && `${count(job.groups.total)}: ${count(job.groups.answered)} answered, ${count(job.groups.no_answer)} without ` +
      `an answer, ${count(job.groups.failed)} failed`],
    ["Errors", job.top_errors.map(([code, number]) => `${count(number)} ${words(code)}`).join(", ")],
    ["Rate", job.rows_per_second ? `${count(Math.round(job.rows_per_second))} rows/s` +
      (job.eta_seconds ? `, ${duration(job.eta_seconds)} left` : "") : ""],
    ["Quality", measured(job.evaluation)],
    ["Quality of groups", measured(job.group_evaluation)],
    ["Model", [job.model.name, job.model.precision].filter(Boolean).join(", ")],
    ["File", job.input.name],
    ["Corrects", first && [link(first), ": rows that had failed there"]],
    ["Labels", Object.entries(labels).map(([key, value]) => `${key}: ${value}`).join(", ")],
    ["Submitted", when(job.created_at)],
    ["Ended", when(job.finished_at)],
  ];
  return [el("progress", { value: job.progress, max: 1, "aria-label": "done" }), el("dl", {}, defined(list))];
}

const measured = (quality) => (quality ? `EM ${quality.exact_match.toFixed(1)}, F1 ${quality.f1.toFixed(1)}` : "");

const defined = (list) => list.filter(([, value]) => value?.length !== 0 && value)
  .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);

function buttons(job, content, values, byGroup) {
  const refuse = (problem) => content.prepend(complaint(problem));
  if (!ENDED.includes(job.status)) {
    const cancel = () => ask(`/v1/jobs/${job.id}/cancel`, { method: "POST" }).catch(refuse);
    return [el("button", { class: "danger", type: "button", onclick: cancel }, "Cancel")];
  }
  const query = byGroup ? null : chosen(values);
  const to = (more) => here(withQuery(`/v1/jobs/${job.id}/results`, { ...more, ...query, by: byGroup ? "group" : null }));
  const links = FORMATS.map(([format, more]) =>
    el("a", { href: to({ format, ...more }), download: true }, `${byGroup ? "Groups" : query ? "Matching answers" : "Answers"} as ${format}`));
  if (job.error_uri) {
    links.push(el("a", { href: here(job.error_uri), download: true }, "Rows that failed"));
  }
  const remove = async () => {
    if (confirm(`Remove job ${job.id} with all its rows and answers?`)) {
      await ask(`/v1/jobs/${job.id}`, { method: "DELETE" }).then(() => { location.hash = "#/"; }, refuse);
    }
  };
  return [...links, el("button", { class: "danger", type: "button", onclick: remove }, "Remove")];
}

// The jobs of corrected error files of this one.
async function related(about, { id, error_uri: errors }) {
  const { jobs } = errors ? await get("/v1/jobs", { metadata: `errors_of=${id}`, limit: MOST }) : { jobs: [] };
  about.querySelector("dl").append(...defined([["Corrected in", jobs.flatMap((job, at) => [at ? ", " : "", link(job.id)])]]));
}

// A choice of another job of as many rows, to see what it answers differently.
async function compare(actions, { id, request_counts: { total } }) {
  const { jobs } = await get("/v1/jobs", { limit: MOST });
  const others = jobs.filter((job) => job.id !== id && job.request_counts.total === total && ENDED.includes(job.status)).reverse();
  if (others.length) {
    const choice = el("select", { "aria-label": "Compare with", onchange: () => { location.hash = `#/diff/${id}/${choice.value}`; } },
      el("option", { value: "" }, "Compare with …"),
      others.map((job) => el("option", { value: job.id }, `${job.metadata.name ?? job.input.name}, ${job.model.name}, ${job.id}`)));
    actions.append(choice);
  }
}
