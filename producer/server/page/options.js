// The fields of a submission, made of its schema: an option that is added to the server is a field here.
import { get } from "./api.js";
import { el, field } from "./dom.js";

const TEXT = ["csv", "jsonl", "json"];
const TABLES = [...TEXT, "xlsx", "parquet"];
// Options for some formats only. One that is not here is for all.
const ONLY = {
  delimiter: ["csv"], escape: ["csv"], quote: ["csv"], header: ["csv"], skip_lines: ["csv", "xlsx"], encoding: TEXT, sheet: ["xlsx"],
  question: TABLES, context: TABLES, id: TABLES, answers: TABLES, format: TABLES, group_by: TABLES, text: TABLES, omit_context: TABLES,
};

// By name, in the order of the schema.
export async function fields() {
  const { components } = await get("/openapi.json");
  return new Map(Object.entries(components.schemas.Submission.properties).map(([name, schema]) => [name, made(name, schema)]));
}

// Shows the options that a format has; documents are one.
export function show(options, format) {
  for (const [name, { node }] of options) node.hidden = !(ONLY[name] ?? [format]).includes(format);
}

function made(name, schema) {
  const usual = text(schema.default ?? "");
  let input = control(schema, usual);
  let none = false; // an empty text that was set, and not left
  const node = field(name[0].toUpperCase() + name.slice(1).replaceAll("_", " "), input, schema.description);
  node.addEventListener("input", () => { none = false; });
  const has = (value) => !input.options || [...input.options].some((option) => option.value === value);
  return {
    node,
    has,
    focus() {
      input.closest("details")?.setAttribute("open", "");
      input.focus();
    },
    set(value) {
      const wanted = text(value);
      has(wanted) || input.append(el("option", { value: wanted }, wanted));
      input.checked = wanted === "true";
      input.value = wanted;
      none = wanted === "";
    },
    get value() { return input.type === "checkbox" ? String(input.checked) : input.value; },
    // What to send; undefined where it is the default, or the format of the file has no such option.
    get sent() { return node.hidden || this.value === usual || (this.value === "" && !none) ? undefined : this.value; },
    // Says what is taken where nothing is given.
    hint(usually) { input.placeholder = usually; },
    get isChoice() { return Boolean(input.options); },
    // Makes it a choice: pairs of a value and its text.
    offer(choices, value) {
      const select = choice(choices, value);
      select.id = input.id;
      select.setAttribute("aria-describedby", input.getAttribute("aria-describedby"));
      input.replaceWith(select);
      input = select;
    },
  };
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function control(schema, usual) {
  const { type } = schema.type ? schema : schema.anyOf.find((kind) => kind.type !== "null");
  const { enum: values, minimum: min, maximum: max } = schema;
  if (values) return choice([["", "default"], ...values.filter((value) => value !== null).map((value) => [value, value])], usual);
  if (type === "boolean") return el("input", { type: "checkbox", checked: usual === "true" });
  const number = { type: "number", min, max, step: type === "integer" ? 1 : "any" };
  return el("input", { value: usual, ...["integer", "number"].includes(type) ? number : { autocomplete: "off", spellcheck: "false" } });
}

function choice(choices, chosen) {
  const options = choices.map(([value, shown]) => el("option", { value, selected: value === chosen }, shown));
  const none = choices.some(([value]) => value === chosen) ? null : el("option", { value: "", selected: true }, "choose a column");
  return el("select", { required: Boolean(none) }, none, options);
}
