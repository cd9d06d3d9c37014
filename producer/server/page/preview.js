// The first rows of a file, as they will be read.
import { el, table, words } from "./dom.js";

// A file of text is looked at by its beginning, another as a whole, unless it is larger than this. So is a JSON document,
// whose beginning is none.
const BEGINNING = 256 * 1024;
const WHOLE = 64 * 1024 * 1024;
const WRAPPED = /\.(parquet|pq|xlsx|json|zip|gz|bz2|xz|zst)$/i;

// As much of a file as can be read by itself; null if that is too much.
export async function beginning(file) {
  if (WRAPPED.test(file.name) || file.size <= BEGINNING) return file.size <= WHOLE ? file : null;
  const part = file.slice(0, BEGINNING);
  const data = new Uint8Array(await part.arrayBuffer());
  const wide = data.includes(0); // UTF-16 or UTF-32, whose newline is more than a byte
  return wide ? part : file.slice(0, data.lastIndexOf(10) + 1 || BEGINNING);
}

export function preview(glance) {
  const others = [...new Set(glance.rows.flatMap((row) => Object.keys(row.passthrough)))];
  const columns = [[glance.question_column, "text"], [glance.context_column, "text"], ...others.map((name) => [name])];
  const rows = glance.rows.map((row) => el("tr", {},
    row.code ? el("td", { colspan: 2, class: "error" }, `${words(row.code)}: ${row.message}`)
      : [el("td", { class: "text" }, short(row.question, 90)), el("td", { class: "text" }, short(row.context, 140))],
    others.map((name) => el("td", {}, short(text(row.passthrough[name]), 60)))));
  return el("div", {}, el("p", { class: "dim" }, `The first rows, read as ${glance.format}`),
    table("First rows", columns, el("tbody", {}, rows)));
}

export const text = (value) =>
  (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
export const short = (whole, most) => (whole.length > most ? `${whole.slice(0, most)}…` : whole);
