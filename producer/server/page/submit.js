// A file is dropped, looked at and submitted.
import { upload } from "./api.js";
import { areDocuments, ask } from "./ask.js";
import { bytes, count, el, field, words } from "./dom.js";
import { fields } from "./options.js";
import { beginning, preview } from "./preview.js";
import { complaint } from "./remedy.js";

const DELIMITERS = [["|", "|"], [",", ","], [";", ";"], ["\t", "tab"]];
// The fields that are shown before the others are unfolded.
const FIRST = ["question", "context", "delimiter", "sheet", "header", "encoding"];
// Options for some formats only. One that is not here is for all.
const TEXT = ["csv", "jsonl", "json"];
const ONLY = { delimiter: ["csv"], escape: ["csv"], quote: ["csv"], header: ["csv"], skip_lines: ["csv", "xlsx"], encoding: TEXT, sheet: ["xlsx"] };
// The name of an error file as the server gives it: of the job whose rows it has.
const ERRORS_OF = /^(\d{8}-\d{6}-[0-9a-f]{8}|key-[0-9a-f]{24})\.errors\b.*\.csv$/;

export function dropping() {
  const input = el("input", { type: "file", id: "file", multiple: true });
  const chosen = el("div");
  const place = el("div", { class: "panel drop" }, el("label", { for: "file" },
    "Drop a file of questions and contexts here, or choose one: CSV, Parquet, JSON Lines, JSON, SQuAD or Excel. ",
    "Or drop documents, to ask them questions: PDF, Word, HTML or text"), input, chosen);
  const take = async (files) => {
    if (files.length) {
      const made = areDocuments(files) ? ask(files) : form(files[0]);
      chosen.replaceChildren(await made.catch((problem) => complaint(problem)));
    }
  };
  input.addEventListener("change", () => take([...input.files]));
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  return place;
}

// The options of a file, and its first rows as they will be read. The columns are a choice as soon as they are known.
async function form(file) {
  const options = await fields();
  const name = el("input", { autocomplete: "off", placeholder: file.name, maxlength: 200 });
  const parts = {
    name, options, status: el("p", { class: "dim", role: "status" }), trouble: el("div"), rows: el("div"),
    go: el("button", { disabled: true }, "Submit"), bar: el("progress", { value: 0, max: 1, hidden: true, "aria-label": "sent" }),
  };
  const { status, trouble, rows, go } = parts;
  const delimiter = options.get("delimiter");
  delimiter.offer(DELIMITERS, delimiter.value);
  show(options, /\.(xlsx|parquet|pq|jsonl|ndjson|json)$/i.exec(file.name)?.[1].toLowerCase().replace("pq", "parquet") ?? "csv");
  let columns = "";
  let looks = 0;

  // True if the file can be submitted.
  async function look() {
    looks += 1;
    const mine = looks; // the answer to an earlier look can come after the answer to a later one
    status.textContent = `Reading ${file.name} …`;
    trouble.replaceChildren();
    try {
      const part = await beginning(file);
      if (!part) {
        status.textContent = "Too large to be shown before it is sent.";
        go.disabled = false;
        return true;
      }
      const glance = await upload("/v1/check", body(file, part, parts), () => {});
      if (mine === looks) {
        offer(glance, glance.question_column, glance.context_column);
        show(options, glance.format);
        options.get("id").hint(glance.id_column ?? "none");
        options.get("encoding").hint("UTF-8");
        options.get("answers").hint(glance.answers_column ?? "none");
        status.textContent = summary(glance, file, part);
        trouble.replaceChildren();
        rows.replaceChildren(preview(glance));
        go.disabled = false;
      }
      return mine === looks;
    } catch (problem) {
      return mine === looks && refuse(problem);
    }
  }

  function refuse(problem) {
    const { found = {} } = problem; // a file that was removed meanwhile is an error of the browser's
    if (found.delimiter && found.delimiter !== delimiter.value && delimiter.has(found.delimiter)) {
      delimiter.set(found.delimiter);
      return again();
    }
    if (found.columns) {
      offer(found, options.get("question").value, options.get("context").value);
    }
    go.disabled = true;
    status.textContent = "";
    rows.replaceChildren();
    trouble.replaceChildren(complaint(problem, remedies));
    return false;
  }

  function offer({ columns: names, sheets, sheet }, question, context) {
    if (names && names.join("\n") !== columns) { // replaced only if they changed: else the focus would be lost
      columns = names.join("\n");
      options.get("question").offer(names.map((each) => [each, each]), question);
      options.get("context").offer(names.map((each) => [each, each]), context);
    }
    if (sheets?.length && !options.get("sheet").isChoice) {
      options.get("sheet").offer(sheets.map((title) => [title, title]), sheet);
    }
  }

  const remedies = {
    has: (option) => options.has(option),
    focus: (option) => options.get(option).focus(),
    set(values) {
      for (const [option, value] of Object.entries(values)) {
        options.get(option).set(value);
      }
      options.get(Object.keys(values)[0]).focus();
      again();
    },
  };
  let looking = look();
  const again = () => { looking = look(); return looking; };
  return laidOut(file, parts, again, () => looking, (problem) => trouble.replaceChildren(complaint(problem, remedies)));
}

// Shows the options that a format has.
function show(options, format) {
  for (const [name, { node }] of options) {
    node.hidden = !(ONLY[name] ?? [format]).includes(format);
  }
}

function laidOut(file, parts, look, looking, refuse) {
  const { name, options, status, trouble, rows, go, bar } = parts;
  const first = FIRST.map((option) => options.get(option).node);
  const others = [...options].filter(([option]) => !FIRST.includes(option)).map(([, option]) => option.node);
  const fold = el("details", {}, el("summary", {}, "Options"), el("div", { class: "options" }, others));
  const made = el("form", {}, el("p", {}, el("strong", {}, file.name), `, ${bytes(file.size)}`),
    el("div", { class: "go" }, go, status), bar, trouble,
    el("div", { class: "options" }, first, field("Name", name, "of the job, in the list [default: the file's]")), fold, rows);
  made.addEventListener("change", (event) => event.target !== name && look());
  made.addEventListener("invalid", (event) => { // a field in a fold that is closed could not be focused
    fold.open ||= fold.contains(event.target);
  }, true);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    if (!await looking()) {
      return;
    }
    go.disabled = true; // again: a check that was under way ended
    bar.hidden = false;
    status.textContent = `Sending ${file.name} …`;
    try {
      const job = await upload("/v1/jobs", body(file, file, parts), (part) => { bar.value = part; });
      location.hash = `#/jobs/${job.id}`;
    } catch (problem) {
      refuse(problem);
      status.textContent = "";
      go.disabled = false;
      bar.hidden = true;
    }
  });
  return made;
}

// The form as it is sent, with a part of the file or all of it. The name of the job, and the job whose failed rows these
// are, are among its labels.
function body(file, part, { name, options }) {
  const data = new FormData();
  for (const [option, { sent }] of options) {
    if (sent !== undefined) {
      data.append(option, sent);
    }
  }
  const labels = { name: name.value.trim(), errors_of: ERRORS_OF.exec(file.name)?.[1] };
  const given = Object.entries(labels).filter(([, value]) => value);
  if (given.length) {
    data.set("metadata", labelled(data.get("metadata") ?? "{}", Object.fromEntries(given)));
  }
  data.append("file", part, file.name);
  return data;
}

function labelled(metadata, labels) {
  try {
    return JSON.stringify({ ...labels, ...JSON.parse(metadata) });
  } catch {
    return metadata; // the server says what is wrong with it
  }
}

// What a check found, in a line.
function summary(glance, file, part) {
  const sure = glance.complete && part === file;
  const about = part === file ? glance.count : Math.round(glance.count * file.size / part.size);
  const number = sure ? count(about) : part === file ? `more than ${count(about)}` : `about ${count(Number(about.toPrecision(2)))}`;
  const bad = glance.rows.filter((row) => row.code).length;
  return `${number} ${sure && about === 1 ? "row" : "rows"}, ${glance.columns.length} columns, read as ${words(glance.format)}` +
    (bad ? `; ${bad} of the first ${glance.rows.length} would fail` : "") +
    glance.notes.map((note) => `; ${note}`).join("");
}
