// Documents are dropped, questions are typed or chosen, and each question is asked of each document.
import { bytes, count, counted, el, field } from "./dom.js";
import { fields, show } from "./options.js";
import { body, sending } from "./sending.js";

const DOCUMENTS = /\.(pdf|docx|html?|xhtml|md|markdown|txt)$/i;
const EXAMPLE = "Who are the parties?\nWhen does the contract end?";
const SHOWN = 12;

// Whether files are documents, and not one file of rows.
export const areDocuments = (files) => files.length > 1 || (files.length === 1 && DOCUMENTS.test(files[0].name));

export async function ask(files) {
  const options = await fields();
  show(options, "documents");
  const number = counted(files.length, "document");
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const typed = el("textarea", { rows: 6, placeholder: EXAMPLE });
  const chosen = el("input", { type: "file", "aria-label": "Questions as a file" });
  const form = sending({ go: "Ask", name: number });
  const made = el("form", {}, el("p", {}, el("strong", {}, number), `, ${bytes(size)}`),
    el("ul", { class: "documents" }, files.slice(0, SHOWN).map((file) => el("li", {}, file.name)),
      files.length > SHOWN ? el("li", {}, `and ${count(files.length - SHOWN)} more`) : null),
    field("Questions", typed, "one per line; each is asked about every document"),
    field("Or a file of them", chosen, "a text file with one per line, or a table with a column question"),
    form.node, form.named("of the job, in the list"),
    el("details", {}, el("summary", {}, "Options"), el("div", { class: "options" }, [...options.values()].map(({ node }) => node))));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!chosen.files.length && !typed.value.trim()) {
      typed.focus();
      form.say("Type a question first, or choose a file of them.");
      return;
    }
    const data = body(options, { name: form.name.value.trim() });
    data.append("questions", chosen.files[0] ?? typed.value);
    for (const file of files) data.append("documents", file, file.name);
    await form.send(data, "Sending; then the documents are read …");
  });
  return made;
}
