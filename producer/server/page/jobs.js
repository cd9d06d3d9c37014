// The jobs, newest first, with a place to drop a file; and the workers.
import { get } from "./api.js";
import { breakable, count, duration, el, line, state, table, when } from "./dom.js";
import { dropping } from "./submit.js";

const [EVERY, MOST] = [2000, 100];
const JOBS = [["Job", "id"], ["State"], ["Done"], ["Rows", "number"], ["Failed", "number optional"], ["Rate, time left", "optional"],
  ["Submitted", "optional"]];
const WORKERS = [["Worker"], ["Model"], ["Holds"], ["Rows/s", "number"]];

export async function jobs(content, { signal, tell }) {
  document.title = "Jobs – bulkqa";
  const [rows, workers] = [el("tbody"), el("tbody")];
  content.append(el("h1", {}, "Jobs"), dropping(), table("Jobs", JOBS, rows), el("h2", {}, "Workers"), table("Workers", WORKERS, workers));
  const look = async () => {
    try {
      const list = await get("/v1/jobs", { limit: MOST });
      show(rows, [...list.jobs.reverse().map(job), ...list.damaged.map(damaged)], JOBS, "No job yet. Drop a file above.");
      show(workers, (await get("/v1/workers")).map(worker), WORKERS, "No worker is running. Start one: worker start");
      tell("");
    } catch (problem) {
      tell(`${problem.message} This page tries again by itself.`);
    }
    if (!signal.aborted) setTimeout(look, EVERY);
  };
  await look();
}

const show = (body, lines, { length }, none) =>
  body.replaceChildren(...lines.length ? lines : [el("tr", {}, el("td", { colspan: length, class: "dim" }, none))]);

export const rate = ({ rows_per_second: speed, eta_seconds: left }) =>
  (speed ? `${count(Math.round(speed))} rows/s` + (left ? `, ${duration(left)} left` : "") : "");

function job(status) {
  const { id, request_counts: { total, failed }, reason, finished_at: finished, metadata, input } = status;
  return line(JOBS, [
    [el("a", { href: `#/jobs/${id}` }, id), el("div", { class: "dim" }, breakable(metadata.name ?? input.name))],
    [state(status.status), reason && !finished ? el("div", { class: "dim" }, reason.message) : null],
    el("progress", { value: status.progress, max: 1, "aria-label": `done of ${id}` }),
    count(total), count(failed), rate(status), when(status.created_at)]);
}

const damaged = ({ id, message }) => el("tr", {}, el("td", {}, id), el("td", { colspan: 6, class: "error" }, message));

const worker = ({ name, model, job: of, chunk, rows_per_second: speed }) =>
  line(WORKERS, [name, model, of ? `${of}, chunk ${chunk}` : "nothing", speed ? count(Math.round(speed)) : ""]);
