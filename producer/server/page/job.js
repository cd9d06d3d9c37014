// A job: its status, and its rows a page at a time, filtered as the address says.
import { ask, get, here, withQuery } from "./api.js";
import { count, duration, el, field, state, svg, when, words } from "./dom.js";
import { AROUND, prediction } from "./prediction.js";
import { complaint, remedy } from "./remedy.js";

const PAGE = 25;
const ENDED = ["completed", "completed_with_errors", "failed", "cancelled"];

export async function job(content, { id, values, signal, tell }) {
  document.title = `${id} – bulkqa`;
  const about = el("div", { class: "panel" });
  const actions = el("div", { class: "row" });
  const rows = el("div");
  const spread = el("figure");
  let latest = await get(`/v1/jobs/${id}`);
  content.append(el("h1", {}, `Job ${latest.id}`), about, actions, el("h2", {}, "Rows"), spread, filters(latest.id, values), rows);
  const show = (status) => {
    latest = status;
    about.replaceChildren(...facts(status));
    actions.replaceChildren(...buttons(status, content));
  };
  show(latest);
  if (!ENDED.includes(latest.status)) {
    follow(latest.id, show, signal, tell, () => {
      page(rows, latest.id, values);
      histogram(spread, latest.id, signal);
    });
  }
  histogram(spread, latest.id, signal);
  await page(rows, latest.id, values);
  walk(content, signal);
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

function facts(job) {
  const counts = job.request_counts;
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
    ["Submitted", when(job.created_at)],
    ["Ended", when(job.finished_at)],
  ];
  const rows = list.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return [el("progress", { value: job.progress, max: 1, "aria-label": "done" }), el("dl", {}, rows)];
}

function buttons(job, content) {
  const refuse = (problem) => content.prepend(complaint(problem));
  if (!ENDED.includes(job.status)) {
    const cancel = () => ask(`/v1/jobs/${job.id}/cancel`, { method: "POST" }).catch(refuse);
    return [el("button", { class: "danger", type: "button", onclick: cancel }, "Cancel")];
  }
  const links = ["json", "csv", "parquet"].map((kind) =>
    el("a", { href: here(withQuery(`/v1/jobs/${job.id}/results`, { format: kind })), download: true }, `Answers as ${kind}`));
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

function filters(id, values) {
  const status = el("select", { name: "status" }, [["", "all"], ["answered"], ["no_answer"], ["error"]].map(
    ([value, text]) => el("option", { value, selected: values.get("status") === value }, text || words(value))));
  const below = el("input", { name: "below", type: "number", min: 0, max: 1, step: "any", value: values.get("below") });
  const text = el("input", { name: "text", type: "search", value: values.get("text") });
  const flag = el("input", { name: "flag", value: values.get("flag") });
  const order = el("select", { name: "order" }, [["", "as submitted"], ["score", "lowest score first"]].map(
    ([value, text]) => el("option", { value, selected: values.get("order") === value }, text)));
  const form = el("form", { class: "row" }, field("Order", order), field("Status", status), field("Score below", below), field("Flag", flag),
    field("Text", text), el("button", {}, "Show"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = withQuery(`#/jobs/${id}`, Object.fromEntries(new FormData(form)));
  });
  return form;
}

// The histogram of scores: a bar a bin, answers below, rows without one on top. Drawn again until all rows are in it.
async function histogram(place, id, signal) {
  const spread = await get(`/v1/jobs/${id}/scores`).catch(() => null);
  if (signal.aborted || !spread) {
    return;
  }
  const most = Math.max(1, ...spread.answered.map((number, at) => number + spread.no_answer[at]));
  const width = 100 / spread.answered.length;
  const bars = spread.answered.flatMap((number, at) => {
    const [low, high] = [60 * number / most, 60 * spread.no_answer[at] / most];
    const text = `score ${(at / 20).toFixed(2)} to ${((at + 1) / 20).toFixed(2)}: ${count(number)} answered, ` +
      `${count(spread.no_answer[at])} without an answer`;
    return [svg("g", {}, svg("title", {}, text),
      svg("rect", { x: at * width, y: 0, width, height: 60, fill: "transparent" }),
      svg("rect", { class: "bar", x: at * width + 0.3, y: 60 - low, width: width - 0.6, height: low }),
      svg("rect", { class: "bar none", x: at * width + 0.3, y: 60 - low - high, width: width - 0.6, height: high }))];
  });
  const total = spread.answered.reduce((sum, number) => sum + number, 0);
  const low = spread.answered.slice(0, 10).reduce((sum, number) => sum + number, 0);
  const label = `Scores: ${count(low)} of ${count(total)} answers are below 0.5`;
  place.replaceChildren(el("figcaption", {}, label), svg("svg", { viewBox: "0 0 100 60", preserveAspectRatio: "none", role: "img",
    "aria-label": label }, bars), el("div", { class: "axis dim" }, el("span", {}, "0"), el("span", {}, "0.5"), el("span", {}, "1")));
  if (spread.read < spread.rows) {
    setTimeout(() => histogram(place, id, signal), 3000);
  }
}

async function page(place, id, values) {
  const query = Object.fromEntries(values);
  let part = await get(`/v1/jobs/${id}/rows`, { ...query, limit: PAGE, around: AROUND });
  const list = part.predictions;
  while (list.length < PAGE && part.next !== null && part.ready) {
    place.replaceChildren(el("p", { class: "dim", role: "status" }, `searched ${count(part.next)} of ${count(part.rows)} rows`));
    part = await get(`/v1/jobs/${id}/rows`, { ...query, offset: part.next, limit: PAGE - list.length, around: AROUND });
    list.push(...part.predictions);
  }
  const links = [];
  if (query.offset > 0) {
    links.push(el("a", { href: withQuery(`#/jobs/${id}`, { ...query, offset: null }) }, "First rows"));
  }
  if (part.next !== null && part.ready) {
    links.push(el("a", { href: withQuery(`#/jobs/${id}`, { ...query, offset: part.next }) }, "Next rows"));
  }
  const none = list.length ? null : el("p", { class: "dim" }, part.ready ? "No such row." : "No row is ready yet.");
  place.replaceChildren(...[el("ol", { class: "answers" }, list.map((row) => prediction(row, whole(id)))), none,
    el("nav", { "aria-label": "Pages" }, links)].filter(Boolean));
}

// The whole context of a row.
const whole = (id) => async ({ row }) => (await get(`/v1/jobs/${id}/rows`, { offset: row, limit: 1 })).predictions[0].context;

// j and k move from row to row.
function walk(content, signal) {
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
    }
  }, { signal });
}
