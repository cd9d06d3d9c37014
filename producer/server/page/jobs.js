// Jobs, the newest first, with a place to drop a file; and the workers that are there.
import { get, upload } from "./api.js";
import { bytes, complaint, count, duration, el, field, state, when, words } from "./dom.js";

const EVERY = 2000;
const MOST = 100;
// Of a text file so much is looked at before it goes; of others all, if they are not larger than this.
const BEGINNING = 256 * 1024;
const WHOLE = 64 * 1024 * 1024;
const WRAPPED = /\.(parquet|pq|xlsx|zip|gz|bz2|xz|zst)$/i;

export async function jobs(content, { signal, tell }) {
  document.title = "Jobs – bulkqa";
  const rows = el("tbody");
  const workers = el("tbody");
  content.append(el("h1", {}, "Jobs"), dropping(),
    table("Jobs", ["Job", "State", "Done", "Rows", "Failed", "Rate, time left", "Submitted"], rows, [3, 4]),
    el("h2", {}, "Workers"), table("Workers", ["Worker", "Model", "Holds", "Rows/s"], workers, [3]));
  const look = async () => {
    try {
      const found = await get("/v1/jobs", { limit: MOST });
      rows.replaceChildren(...found.jobs.reverse().map(line), ...found.damaged.map(damaged));
      if (!rows.children.length) {
        rows.append(el("tr", {}, el("td", { colspan: 7, class: "dim" }, "No job yet. Drop a file above.")));
      }
      const there = await get("/v1/workers");
      workers.replaceChildren(...there.map(worker));
      if (!there.length) {
        workers.append(el("tr", {}, el("td", { colspan: 4, class: "dim" }, "No worker is there: worker start")));
      }
      tell("");
    } catch (problem) {
      tell(`${problem.message} This page looks again by itself.`);
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
    el("td", { class: "id" }, el("a", { href: `#/jobs/${job.id}` }, job.id), el("div", { class: "dim" }, job.input.name)),
    el("td", {}, state(job.status), why),
    el("td", {}, el("progress", { value: job.progress, max: 1, "aria-label": `done of ${job.id}` })),
    el("td", { class: "number" }, count(counts.total)),
    el("td", { class: "number optional" }, count(counts.failed)),
    el("td", { class: "optional" }, rate + left),
    el("td", { class: "optional" }, when(job.created_at)));
}

const damaged = (job) => el("tr", {}, el("td", {}, job.id), el("td", { colspan: 6, class: "error" }, job.message));

const worker = (one) => el("tr", {},
  el("td", {}, one.name), el("td", {}, one.model),
  el("td", {}, one.job ? `${one.job}, chunk ${one.chunk}` : "nothing"),
  el("td", { class: "number" }, one.rows_per_second ? count(Math.round(one.rows_per_second)) : ""));

function dropping() {
  const input = el("input", { type: "file", id: "file" });
  const chosen = el("div");
  const place = el("div", { class: "panel drop" }, el("label", { for: "file" },
    "Drop a file of questions and contexts here, or choose one: CSV, Parquet, JSON Lines, JSON, SQuAD or Excel"), input, chosen);
  const take = (file) => file && chosen.replaceChildren(asking(file));
  input.addEventListener("change", () => take(input.files[0]));
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return place;
}

// What is to be known of a file before it goes, with its first rows as they will be read. Its columns are a choice as
// soon as they are known.
function asking(file) {
  const columns = { question: el("input", { value: "question" }), context: el("input", { value: "context" }) };
  const delimiter = el("select", {}, [["|", "|"], [",", ","], [";", ";"], ["\t", "tab"]]
    .map(([value, text]) => el("option", { value }, text)));
  const named = el("div", { class: "row" });
  const first = el("div", { "aria-live": "polite" });
  const go = el("button", {}, "Submit");
  const bar = el("progress", { value: 0, max: 1, hidden: true, "aria-label": "sent" });
  const show = () => named.replaceChildren(field("Column of questions", columns.question),
    field("Column of contexts", columns.context), field("Delimiter", delimiter));
  let offered = "";
  const offer = (known, chosen) => {
    if (known.join("\n") !== offered) { // else who chooses by keyboard would lose the place
      offered = known.join("\n");
      columns.question = choice(known, chosen.question);
      columns.context = choice(known, chosen.context);
      show();
    }
  };
  const values = (body) => {
    const form = new FormData();
    form.append("question", columns.question.value);
    form.append("context", columns.context.value);
    form.append("delimiter", delimiter.value);
    form.append("file", body, file.name);
    return form;
  };
  let asked = 0;
  const look = async () => {
    asked += 1;
    const mine = asked; // an answer may come after that to a later question
    const part = await beginning(file);
    if (!part) {
      first.replaceChildren(el("p", { class: "dim" }, "Too large to be shown before it is sent."));
      return;
    }
    try {
      const found = await upload("/v1/check", values(part), () => {});
      if (mine === asked) {
        offer(found.columns, { question: found.question_column, context: found.context_column });
        first.replaceChildren(seen(found));
      }
    } catch (problem) {
      if (mine !== asked) {
        return;
      }
      const other = problem.found.delimiter; // the one that its columns were found with
      if (other && other !== delimiter.value && [...delimiter.options].some(({ value }) => value === other)) {
        delimiter.value = other;
        look();
        return;
      }
      if (problem.found.columns) {
        offer(problem.found.columns, { question: columns.question.value, context: columns.context.value });
      }
      first.replaceChildren(complaint(problem));
    }
  };
  show();
  const form = el("form", {}, el("p", {}, `${file.name}, ${bytes(file.size)}`), named, first, go, bar);
  form.addEventListener("change", look);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    bar.hidden = false;
    try {
      const job = await upload("/v1/jobs", values(file), (part) => { bar.value = part; });
      location.hash = `#/jobs/${job.id}`;
    } catch (problem) {
      first.replaceChildren(complaint(problem));
      go.disabled = false;
      bar.hidden = true;
    }
  });
  look();
  return form;
}

// One of the columns that there are; where none is chosen yet, that has to be done before the file goes.
function choice(known, chosen) {
  const options = known.map((value) => el("option", { value, selected: value === chosen }, value));
  const none = known.includes(chosen) ? null : el("option", { value: "", selected: true }, "choose a column");
  return el("select", { required: true }, none, options);
}

// As much of a file as can be read by itself; null where that would be too much.
async function beginning(file) {
  if (WRAPPED.test(file.name) || file.size <= BEGINNING) {
    return file.size <= WHOLE ? file : null;
  }
  const part = file.slice(0, BEGINNING);
  const data = new Uint8Array(await part.arrayBuffer());
  return file.slice(0, data.lastIndexOf(10) + 1 || BEGINNING);
}

function seen(found) {
  const rows = found.rows.map((row) => el("tr", {},
    row.code ? el("td", { colspan: 2, class: "error" }, `${words(row.code)}: ${row.message}`)
      : [el("td", {}, short(row.question, 90)), el("td", {}, short(row.context, 140))]));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "First rows" }, el("table", {},
    el("caption", { class: "dim" }, `The first rows, read as ${found.format}`),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, found.question_column), el("th", { scope: "col" }, found.context_column))),
    el("tbody", {}, rows)));
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);
