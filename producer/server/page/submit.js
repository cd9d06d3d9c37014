// A file is dropped, looked at and submitted.
import { upload } from "./api.js";
import { bytes, el, words } from "./dom.js";
import { fields } from "./options.js";
import { complaint } from "./remedy.js";

// A file of text is looked at by its beginning, another as a whole, unless it is larger than this.
const BEGINNING = 256 * 1024;
const WHOLE = 64 * 1024 * 1024;
const WRAPPED = /\.(parquet|pq|xlsx|zip|gz|bz2|xz|zst)$/i;
const DELIMITERS = [["|", "|"], [",", ","], [";", ";"], ["\t", "tab"]];
// The fields that are shown before the others are unfolded.
const FIRST = ["question", "context", "delimiter"];

export function dropping() {
  const input = el("input", { type: "file", id: "file" });
  const chosen = el("div");
  const place = el("div", { class: "panel drop" }, el("label", { for: "file" },
    "Drop a file of questions and contexts here, or choose one: CSV, Parquet, JSON Lines, JSON, SQuAD or Excel"), input, chosen);
  const take = async (file) => {
    if (file) {
      chosen.replaceChildren(await form(file).catch((problem) => complaint(problem)));
    }
  };
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

// The options of a file, and its first rows as they will be read. The columns are a choice as soon as they are known.
async function form(file) {
  const options = await fields();
  const delimiter = options.get("delimiter");
  delimiter.offer(DELIMITERS, delimiter.value);
  const rows = el("div", { "aria-live": "polite" });
  let columns = "";
  let looks = 0;

  async function look() {
    looks += 1;
    const mine = looks; // the answer to an earlier look can come after the answer to a later one
    const part = await beginning(file);
    if (!part) {
      rows.replaceChildren(el("p", { class: "dim" }, "Too large to be shown before it is sent."));
      return;
    }
    try {
      const glance = await upload("/v1/check", body(file, part, options), () => {});
      if (mine === looks) {
        offer(glance.columns, glance.question_column, glance.context_column);
        rows.replaceChildren(table(glance));
      }
    } catch (problem) {
      if (mine === looks) {
        refuse(problem);
      }
    }
  }

  function refuse(problem) {
    const found = problem.found;
    if (found.delimiter && found.delimiter !== delimiter.value && delimiter.has(found.delimiter)) {
      delimiter.set(found.delimiter);
      look();
      return;
    }
    if (found.columns) {
      offer(found.columns, options.get("question").value, options.get("context").value);
    }
    rows.replaceChildren(complaint(problem, remedies));
  }

  function offer(names, question, context) {
    if (names.join("\n") !== columns) { // replaced only if they changed: else the focus would be lost
      columns = names.join("\n");
      options.get("question").offer(names.map((name) => [name, name]), question);
      options.get("context").offer(names.map((name) => [name, name]), context);
    }
  }

  const remedies = {
    has: (name) => options.has(name),
    focus: (name) => options.get(name).focus(),
    set(values) {
      for (const [name, value] of Object.entries(values)) {
        options.get(name).set(value);
      }
      options.get(Object.keys(values)[0]).focus();
      look();
    },
  };
  look();
  return laidOut(file, options, rows, look, (problem) => rows.replaceChildren(complaint(problem, remedies)));
}

function laidOut(file, options, rows, look, refuse) {
  const first = FIRST.map((name) => options.get(name).node);
  const others = [...options].filter(([name]) => !FIRST.includes(name)).map(([, option]) => option.node);
  const fold = el("details", {}, el("summary", {}, "Options"), el("div", { class: "options" }, others));
  const go = el("button", {}, "Submit");
  const bar = el("progress", { value: 0, max: 1, hidden: true, "aria-label": "sent" });
  const made = el("form", {}, el("p", {}, `${file.name}, ${bytes(file.size)}`), el("div", { class: "row" }, first), fold, rows, go, bar);
  made.addEventListener("change", look);
  made.addEventListener("invalid", (event) => { // a field in a fold that is closed could not be focused
    fold.open ||= fold.contains(event.target);
  }, true);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    bar.hidden = false;
    try {
      const job = await upload("/v1/jobs", body(file, file, options), (part) => { bar.value = part; });
      location.hash = `#/jobs/${job.id}`;
    } catch (problem) {
      refuse(problem);
      go.disabled = false;
      bar.hidden = true;
    }
  });
  return made;
}

// The form as it is sent, with a part of the file or all of it.
function body(file, part, options) {
  const data = new FormData();
  for (const [name, { sent }] of options) {
    if (sent !== undefined) {
      data.append(name, sent);
    }
  }
  data.append("file", part, file.name);
  return data;
}

// As much of a file as can be read by itself; null if that is too much.
async function beginning(file) {
  if (WRAPPED.test(file.name) || file.size <= BEGINNING) {
    return file.size <= WHOLE ? file : null;
  }
  const part = file.slice(0, BEGINNING);
  const data = new Uint8Array(await part.arrayBuffer());
  const wide = data.includes(0); // UTF-16 or UTF-32, whose newline is more than a byte
  return wide ? part : file.slice(0, data.lastIndexOf(10) + 1 || BEGINNING);
}

function table(glance) {
  const rows = glance.rows.map((row) => el("tr", {},
    row.code ? el("td", { colspan: 2, class: "error" }, `${words(row.code)}: ${row.message}`)
      : [el("td", {}, short(row.question, 90)), el("td", {}, short(row.context, 140))]));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "First rows" }, el("table", {},
    el("caption", { class: "dim" }, `The first rows, read as ${glance.format}`),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, glance.question_column), el("th", { scope: "col" }, glance.context_column))),
    el("tbody", {}, rows)));
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);
