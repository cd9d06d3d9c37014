// A job: its status, what can be done with it, and its rows.
import { ask, get, here, withQuery } from "./api.js";
import { documents } from "./document.js";
import { count, duration, el, state, when, words } from "./dom.js";
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
  const rows = el("div");
  const asked = el("div");
  const spread = el("figure");
  const matching = el("span", { role: "status" });
  let latest = await get(`/v1/jobs/${id}`);
  const { form, offer } = filters(latest.id, values);
  const { name } = latest.metadata;
  content.append(el("h1", {}, name ? `${name} ` : "", el(name ? "small" : "span", { class: name ? "dim" : null }, `Job ${latest.id}`)),
    about, actions, asked, el("h2", {}, "Rows"), spread, form,
    el("p", { class: "dim hint" }, matching, " Keys: ", el("kbd", {}, "j"), " next row, ", el("kbd", {}, "k"), " previous row."), rows);
  const show = (status) => {
    latest = status;
    about.replaceChildren(...facts(status));
    actions.replaceChildren(...buttons(status, content, values));
  };
  const draw = () => histogram(spread, latest.id, values, signal, ({ flags }) => offer(flags));
  const ended = () => Promise.all([compare(actions, latest), related(about, latest)]).catch((problem) => tell(problem.message));
  show(latest);
  if (ENDED.includes(latest.status)) {
    ended();
  } else {
    follow(latest.id, show, signal, tell, () => {
      page(rows, latest.id, values);
      tally(matching, latest.id, values, signal);
      draw();
      ended();
    });
  }
  draw();
  if (latest.input.format === "documents") {
    documents(asked, latest.id).catch((problem) => tell(problem.message));
  }
  await page(rows, latest.id, values);
  walk(content, signal);
  await tally(matching, latest.id, values, signal);
}

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
    ["Errors", job.top_errors.map(([code, number]) => `${count(number)} ${words(code)}`).join(", ")],
    ["Rate", job.rows_per_second ? `${count(Math.round(job.rows_per_second))} rows/s` +
      (job.eta_seconds ? `, ${duration(job.eta_seconds)} left` : "") : ""],
    ["Quality", job.evaluation ? `EM ${job.evaluation.exact_match.toFixed(1)}, F1 ${job.evaluation.f1.toFixed(1)}` : ""],
    ["Model", [job.model.name, job.model.precision].filter(Boolean).join(", ")],
    ["File", job.input.name],
    ["Corrects", first && [link(first), ": rows that had failed there"]],
    ["Labels", Object.entries(labels).map(([key, value]) => `${key}: ${value}`).join(", ")],
    ["Submitted", when(job.created_at)],
    ["Ended", when(job.finished_at)],
  ];
  return [el("progress", { value: job.progress, max: 1, "aria-label": "done" }), el("dl", {}, defined(list))];
}

const defined = (list) => list.filter(([, value]) => value?.length !== 0 && value)
  .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);

function buttons(job, content, values) {
  const refuse = (problem) => content.prepend(complaint(problem));
  if (!ENDED.includes(job.status)) {
    const cancel = () => ask(`/v1/jobs/${job.id}/cancel`, { method: "POST" }).catch(refuse);
    return [el("button", { class: "danger", type: "button", onclick: cancel }, "Cancel")];
  }
  const query = chosen(values);
  const to = (more) => here(withQuery(`/v1/jobs/${job.id}/results`, { ...more, ...query }));
  const links = FORMATS.map(([format, more]) =>
    el("a", { href: to({ format, ...more }), download: true }, `${query ? "Matching answers" : "Answers"} as ${format}`));
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
