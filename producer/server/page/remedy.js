// What to do about an error: the parts of its remedy, each a text, options to set, or a command.
import { button, el } from "./dom.js";

// The message of a problem with its remedy. `form`, if there is one, has the fields that a click fills in.
export const complaint = ({ message, remedy: parts = [] }, form) =>
  el("p", { role: "alert", class: "error" }, message, parts.length ? " – " : "", remedy(parts, form));

export const remedy = (parts, form) => parts.map((part) =>
  typeof part === "string" ? part : part.set ? setting(part.set, form) : command(part));

// `{encoding: "UTF-16"}` is a button that sets the field. A value of null is for the user to know: the field is focused.
function setting(options, form) {
  const names = Object.keys(options);
  const given = names.filter((name) => options[name] !== null);
  const text = given.length ? `Set ${names.map((name) => `${name} to ${shown(options[name])}`).join(" and ")}` : names.join(", ");
  if (!form || !names.every((name) => form.has(name))) return text;
  return button(text, () => (given.length ? form.set(options) : form.focus(names[0])), "plain inline");
}

const shown = (value) => ({ "\t": "tab", "": "nothing", null: "…" })[value] ?? String(value);

// A command is a link where the page has a view for it.
function command({ call, job, flags }) {
  if (call === "list") return el("a", { href: "#/" }, "Jobs");
  const view = { status: "", results: "", cancel: "", delete: "", trust: "", sample: "/review", judge: "/review" }[call];
  if (job && view !== undefined) return el("a", { href: `#/jobs/${job}${view}` }, `${call} job ${job}`);
  return el("code", {}, ["producer", call, job, ...flags.map((flag) => `--${flag}`)].filter(Boolean).join(" "));
}
