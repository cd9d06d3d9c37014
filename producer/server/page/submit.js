// A file is dropped, looked at and submitted.
import { upload } from "./api.js";
import { areDocuments, ask } from "./ask.js";
import { bytes, count, counted, el, expected, words } from "./dom.js";
import { fields, show } from "./options.js";
import { beginning, preview } from "./preview.js";
import { complaint } from "./remedy.js";
import { body, sending } from "./sending.js";

const DELIMITERS = [["|", "|"], [",", ","], [";", ";"], ["\t", "tab"]];
// The fields that are shown before the others are unfolded.
const FIRST = ["question", "context", "delimiter", "sheet", "header", "encoding"];
// The name of an error file as the server gives it: of the job whose rows it has.
const ERRORS_OF = /^(\d{8}-\d{6}-[0-9a-f]{8}|key-[0-9a-f]{24})\.errors\b.*\.csv$/;

export function dropping() {
  const input = el("input", { type: "file", id: "file", multiple: true });
  const chosen = el("div");
  const place = el("div", { class: "panel drop" }, el("label", { for: "file" },
    "Drop a file of questions and contexts here, or choose one: CSV, Parquet, JSON Lines, JSON, SQuAD or Excel. ",
    "Or drop documents to ask questions about: PDF, Word, HTML or text"), input, chosen);
  const take = async (files) => {
    if (!files.length) return;
    const made = areDocuments(files) ? ask(files) : form(files[0]);
    chosen.replaceChildren(await made.catch((problem) => complaint(problem)));
  };
  input.addEventListener("change", () => take([...input.files]));
  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    place.addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.toggle("over", over);
      name === "drop" && take([...event.dataTransfer.files]);
    });
  }
  return place;
}

// The options of a file, and its first rows as they will be read. The columns are a choice as soon as they are known.
async function form(file) {
  const options = await fields();
  const option = (name) => options.get(name);
  const rows = el("div");
  const remedies = {
    has: (name) => options.has(name),
    focus: (name) => option(name).focus(),
    set(values) {
      Object.entries(values).forEach(([name, value]) => option(name).set(value));
      option(Object.keys(values)[0]).focus();
      look();
    },
  };
  const { node, named, name, go, say, send } = sending({ go: "Submit", name: file.name, remedies });
  const data = (part) => {
    const made = body(options, { name: name.value.trim(), errors_of: ERRORS_OF.exec(file.name)?.[1] });
    made.append("file", part, file.name);
    return made;
  };
  const delimiter = option("delimiter");
  delimiter.offer(DELIMITERS, delimiter.value);
  show(options, /\.(xlsx|parquet|pq|jsonl|ndjson|json)$/i.exec(file.name)?.[1].toLowerCase().replace("pq", "parquet") ?? "csv");
  let columns = "";
  let looking; // true if the file can be submitted; the answer to an earlier look can come after the answer to a later one

  function look() {
    const mine = check().then((glance) => mine === looking && accept(...glance), (problem) => mine === looking && refuse(problem));
    looking = mine;
  }

  async function check() {
    say(`Reading ${file.name} …`);
    const part = await beginning(file);
    return [part && await upload(`/v1/check?bytes=${file.size}`, data(part), () => {}), part];
  }

  function accept(glance, part) {
    say(glance ? summary(glance, file, part) : "Too large to be shown before it is sent.");
    go.disabled = false;
    if (!glance) return true;
    offer(glance, glance.question_column, glance.context_column);
    show(options, glance.format);
    const usual = { id: glance.id_column ?? "none", encoding: "UTF-8", answers: glance.answers_column ?? "none" };
    Object.entries(usual).forEach(([name, value]) => option(name).hint(value));
    rows.replaceChildren(preview(glance));
    return true;
  }

  function refuse(problem) {
    const { found = {} } = problem; // a file that was removed meanwhile is an error of the browser's
    if (found.delimiter && found.delimiter !== delimiter.value && delimiter.has(found.delimiter)) {
      delimiter.set(found.delimiter);
      look();
      return looking;
    }
    offer(found, option("question").value, option("context").value);
    go.disabled = true;
    rows.replaceChildren();
    say("", problem);
    return false;
  }

  function offer({ columns: names, sheets, sheet }, question, context) {
    const choices = (values) => values.map((each) => [each, each]);
    if (names && names.join("\n") !== columns) { // replaced only if they changed: else the focus would be lost
      columns = names.join("\n");
      option("question").offer(choices(names), question);
      option("context").offer(choices(names), context);
    }
    sheets?.length && (option("sheet").isChoice || option("sheet").offer(choices(sheets), sheet));
  }

  go.disabled = true;
  look();
  const others = [...options].filter(([each]) => !FIRST.includes(each)).map(([, each]) => each.node);
  const fold = el("details", {}, el("summary", {}, "Options"), el("div", { class: "options" }, others));
  const made = el("form", {}, el("p", {}, el("strong", {}, file.name), `, ${bytes(file.size)}`), node,
    el("div", { class: "options" }, FIRST.map((each) => option(each).node), named("of the job, in the list [default: the file's]")),
    fold, rows);
  made.addEventListener("invalid", (event) => { fold.open ||= fold.contains(event.target); }, true); // closed, it could not be focused
  made.addEventListener("change", (event) => event.target !== name && look());
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    await looking && send(data(file), `Sending ${file.name} …`);
  });
  return made;
}

// What a check found, in a line.
function summary(glance, file, part) {
  const sure = glance.complete && part === file;
  const about = part === file ? glance.count : Math.round(glance.count * file.size / part.size);
  const number = sure ? counted(about, "row")
    : part === file ? `more than ${count(about)} rows` : `about ${count(Number(about.toPrecision(2)))} rows`;
  const bad = glance.rows.filter((row) => row.code).length, { forecast } = glance;
  return `${number}, ${glance.columns.length} columns, read as ${words(glance.format)}` +
    (expected(forecast) && `; takes ${expected(forecast)}`) +
    (bad ? `; ${bad} of the first ${glance.rows.length} would fail` : "") +
    (forecast.reused ? `; ${counted(forecast.reused, "row")} reused` : "") + glance.notes.map((note) => `; ${note}`).join("");
}
