// The jobs, newest first, with a place to drop a file; and the workers.
import { get } from "./api.js";
import { breakable, count, duration, el, state, when } from "./dom.js";
import { dropping } from "./submit.js";

const EVERY = 2000;
const MOST = 100;

export async function jobs(content, { signal, tell }) {
  document.title = "Jobs – bulkqa";
  const rows = el("tbody");
  const workers = el("tbody");
  content.append(el("h1", {}, "Jobs"), dropping(),
    table("Jobs", ["Job", "State", "Done", "Rows", "Failed", "Rate, time left", "Submitted"], rows, [3, 4]),
    el("h2", {}, "Workers"), table("Workers", ["Worker", "Model", "Holds", "Rows/s"], workers, [3]));
  const look = async () => {
    try {
      const list = await get("/v1/jobs", { limit: MOST });
      rows.replaceChildren(...list.jobs.reverse().map(line), ...list.damaged.map(damaged));
      if (!rows.children.length) {
        rows.append(el("tr", {}, el("td", { colspan: 7, class: "dim" }, "No job yet. Drop a file above.")));
      }
      const running = await get("/v1/workers");
      workers.replaceChildren(...running.map(worker));
      if (!running.length) {
        workers.append(el("tr", {}, el("td", { colspan: 4, class: "dim" }, "No worker is running. Start one: worker start")));
      }
      tell("");
    } catch (problem) {
      tell(`${problem.message} This page tries again by itself.`);
    }
    if (!signal.aborted) {
      setTimeout(look, EVERY);
    }
  };
  await look();
}

function table(name, columns, body, numbers) {
  const head = columns.map((column, at) =>
    el("th", { scope: "col", class: `${numbers.includes(at) ? "number " : ""}${at > 3 ? "optional" : ""}` }, column));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": name },
    el("table", {}, el("thead", {}, el("tr", {}, head)), body));
}

function line(job) {
  const counts = job.request_counts;
  const rate = job.rows_per_second ? `${count(Math.round(job.rows_per_second))} rows/s` : "";
  const left = job.eta_seconds ? `, ${duration(job.eta_seconds)} left` : "";
  const why = job.reason && !job.finished_at ? el("div", { class: "dim" }, job.reason.message) : null;
  return el("tr", {},
    el("td", { class: "id" }, el("a", { href: `#/jobs/${job.id}` }, job.id), el("div", { class: "dim" }, breakable(job.metadata.name ?? job.input.name))),
    el("td", {}, state(job.status), why),
    el("td", {}, el("progress", { value: job.progress, max: 1, "aria-label": `done of ${job.id}` })),
    el("td", { class: "number" }, count(counts.total)),
    el("td", { class: "number optional" }, count(counts.failed)),
    el("td", { class: "optional" }, rate + left),
    el("td", { class: "optional" }, when(job.created_at)));
}

const damaged = (job) => el("tr", {}, el("td", {}, job.id), el("td", { colspan: 6, class: "error" }, job.message));

const worker = ({ name, model, job, chunk, rows_per_second: rate }) => el("tr", {},
  el("td", {}, name), el("td", {}, model),
  el("td", {}, job ? `${job}, chunk ${chunk}` : "nothing"),
  el("td", { class: "number" }, rate ? count(Math.round(rate)) : ""));
