// Documents are dropped, questions are typed or chosen, and each question is asked of each document.
import { upload } from "./api.js";
import { bytes, count, el, field } from "./dom.js";
import { fields } from "./options.js";
import { complaint } from "./remedy.js";

const DOCUMENTS = /\.(pdf|docx|html?|xhtml|md|markdown|txt)$/i;
const EXAMPLE = "Who are the parties?\nWhen does the contract end?";
// Options of reading that hold for tables alone.
const TABLES = ["question", "context", "id", "answers", "delimiter", "escape", "quote", "header", "skip_lines", "encoding", "sheet",
  "format", "group_by", "text", "omit_context"];
const SHOWN = 12;

// Whether files are documents, and not one file of rows.
export const areDocuments = (files) => files.length > 1 || (files.length === 1 && DOCUMENTS.test(files[0].name));

export async function ask(files) {
  const options = await fields();
  const name = el("input", { autocomplete: "off", placeholder: `${count(files.length)} documents`, maxlength: 200 });
  const typed = el("textarea", { rows: 6, placeholder: EXAMPLE });
  const chosen = el("input", { type: "file", "aria-label": "Questions as a file" });
  const go = el("button", {}, "Ask");
  const status = el("p", { class: "dim", role: "status" });
  const bar = el("progress", { value: 0, max: 1, hidden: true, "aria-label": "sent" });
  const trouble = el("div");
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const listed = files.slice(0, SHOWN).map((file) => el("li", {}, file.name));
  const more = files.length > SHOWN ? el("li", {}, `and ${count(files.length - SHOWN)} more`) : null;
  const others = [...options].filter(([option]) => !TABLES.includes(option)).map(([, { node }]) => node);
  const made = el("form", {}, el("p", {}, el("strong", {}, `${count(files.length)} ${files.length === 1 ? "document" : "documents"}`), `, ${bytes(size)}`),
    el("ul", { class: "documents" }, listed, more),
    field("Questions", typed, "one a line; each is asked of each document"),
    field("Or a file of them", chosen, "a text file with one a line, or a table with a column question"),
    el("div", { class: "go" }, go, status), bar, trouble, field("Name", name, "of the job, in the list"),
    el("details", {}, el("summary", {}, "Options"), el("div", { class: "options" }, others)));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.replaceChildren();
    if (!chosen.files.length && !typed.value.trim()) {
      typed.focus();
      status.textContent = "Type a question first, or choose a file of them.";
      return;
    }
    go.disabled = true;
    bar.hidden = false;
    status.textContent = "Sending; then the documents are read …";
    try {
      const job = await upload("/v1/jobs", body(files, { options, name, typed, chosen }), (part) => { bar.value = part; });
      location.hash = `#/jobs/${job.id}`;
    } catch (problem) {
      trouble.replaceChildren(complaint(problem));
      status.textContent = "";
      go.disabled = false;
      bar.hidden = true;
    }
  });
  return made;
}

function body(files, { options, name, typed, chosen }) {
  const data = new FormData();
  for (const [option, { sent }] of options) {
    if (sent !== undefined && !TABLES.includes(option)) {
      data.append(option, sent);
    }
  }
  if (name.value.trim()) {
    data.set("metadata", JSON.stringify({ name: name.value.trim() }));
  }
  chosen.files.length ? data.append("questions", chosen.files[0]) : data.append("questions", typed.value);
  for (const file of files) {
    data.append("documents", file, file.name);
  }
  return data;
}
