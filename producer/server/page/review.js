// One answer at a time is judged, by keys or by thumb.
import { get, patient, read } from "./api.js";
import { button, count, el, field, nav } from "./dom.js";
import { marking } from "./marking.js";
import { outbox } from "./outbox.js";
import { named, outcome, others, quality } from "./prediction.js";
import { keys } from "./rows.js";
import { precision, promised, trust } from "./trust.js";

const [PLANNED, PAGE, CALM] = [300, 20, 500];
const SAID = { right: "right", wrong: "wrong", no_answer: "no answer", skipped: "skipped", span: "other words" };
const PICKED = "Rows picked by hand promise nothing, because they are not a random sample. Your verdicts are stored all the same.";
const DRAG = el("p", { class: "help" }, "If other words of the text are right, select them.");

export async function review(content, { id: prefix, values, signal, tell }) {
  const { id, metadata, input } = await get(`/v1/jobs/${prefix}`);
  document.title = `Review of ${id} – bulkqa`;
  const query = Object.fromEntries(values);
  const drawn = [...values].length ? null : await get(`/v1/jobs/${id}/sample`, { rows: PLANNED, precision: precision() });
  const { verdicts } = await get(`/v1/jobs/${id}/verdicts`);
  const { questions } = input.format === "documents" ? await get(`/v1/jobs/${id}/documents`, { limit: 1 }) : {};
  const judged = new Map(verdicts.map((verdict) => [verdict.row, verdict]));
  const isJudged = (row) => judged.has(row) && (!drawn || judged.get(row).floor !== null);
  const bar = el("progress", { max: drawn?.rows.length, value: drawn ? 0 : null, "aria-label": "judged" });
  const [number, last, card] = [el("strong"), el("p", { class: "dim", "aria-live": "polite" }, "\u00a0"), el("div")];
  const promise = el("p", { role: "status" }, drawn ? "" : PICKED);
  const by = el("input", { autocomplete: "name", value: localStorage.getItem("name"), maxlength: 100 });
  const note = el("input", { autocomplete: "off", maxlength: 1000 });
  const report = (problem) => tell(problem.message);
  const away = ({ message }) => signal.aborted || tell(`${message} Verdicts waiting in this browser: ${count(box.waiting.length)}.`);
  const box = outbox(id, { stored, refused: report, away });
  const ask = (path, more) => patient(() => get(`/v1/jobs/${id}/${path}`, more), away);
  const isOpen = (row) => (box.waiting.findLast((verdict) => verdict.row === row)?.verdict ??
    (isJudged(row) ? "judged" : "withdrawn")) === "withdrawn";
  const rows = drawn ? sampled(ask, drawn.rows, isOpen) : picked(ask, query, isOpen);
  const done = verdicts.filter((verdict) => verdict.by === by.value.trim()).sort((a, b) => a.at - b.at).map(({ row }) => row);
  const undone = [];
  let [current, calm] = [null, null]; // the row that is shown; null: it is not there yet

  function stored(verdict) {
    tell("");
    verdict.verdict === "withdrawn" ? judged.delete(verdict.row) : judged.set(verdict.row, verdict);
    show();
    calm ??= setTimeout(look, CALM);
  }
  function show() {
    const all = drawn ? drawn.rows.filter(isJudged).length : judged.size;
    bar.value = drawn ? all : 0;
    number.textContent = `${count(all)} ${drawn ? `of ${count(drawn.rows.length)} ` : ""}judged` +
      (box.waiting.length ? `, ${count(box.waiting.length)} not stored yet` : "");
  }
  function look() {
    calm = null;
    if (drawn) trust(id).then((made) => { promise.textContent = promised(made); }, report);
  }

  const next = async () => open(undone.pop() ?? (await rows.next()).value);
  async function open(row) {
    const path = row?.document && `/v1/jobs/${id}/documents/${Math.floor(row.row / questions)}/text`;
    const text = path ? await patient(() => read(path), away) : row?.context;
    if (signal.aborted) return;
    const words = marking(text ?? "", row?.status === "answered" ? row : {}, (start, end) => judge("span", { start, end }));
    card.replaceChildren(...row ? [el("div", { class: "head" }, named(row), drawn ? null : quality(row)), // a score would sway
      el("p", { class: "question" }, row.question), outcome(row) ?? "", ...text ? [words, DRAG] : [], others(row) ?? ""]
      : ["There is no other row to judge. ", el("a", { href: `#/jobs/${id}` }, "Answers to take, and rows to review")]);
    const mark = words.querySelector("mark");
    words.scrollTop = mark ? mark.offsetTop - words.clientHeight / 2 : 0;
    current = row;
  }
  function judge(verdict, span = {}) {
    if (!current) return; // nobody judges what is not shown yet
    const [{ row, answer = null }, floor] = [current, drawn?.floor ?? null];
    put({ row, verdict, answer, floor, note: note.value.trim(), ...span }, SAID[verdict]);
    done.push(row);
    note.value = "";
    next().catch(report);
  }
  async function undo() {
    if (current === null || !done.length) return;
    const row = done.pop();
    current && undone.push(current);
    put({ row, verdict: "withdrawn" }, "to be judged again");
    await open((await ask("rows", { offset: row, limit: 1 })).predictions[0]);
  }
  function put(verdict, said) {
    current = null;
    box.put({ ...verdict, by: by.value.trim() });
    last.textContent = `Row ${verdict.row}: ${said}.`;
    show();
  }

  const acts = [["Right", "y", () => judge("right")], ["Wrong", "n", () => judge("wrong")],
    ["No answer", "0", () => judge("no_answer")], ["Skip", "s", () => judge("skipped")], ["Undo", "u", () => undo().catch(report)]];
  by.addEventListener("change", () => localStorage.setItem("name", by.value.trim()));
  keys(signal, Object.fromEntries(acts.map(([, key, act]) => [key, ({ repeat }) => repeat || act()])));
  content.append(el("h1", {}, "Review ", el("small", { class: "dim" }, metadata.name ?? id)),
    nav("Rows to judge", [["The job", `#/jobs/${id}`], ["Random sample", `#/jobs/${id}/review`, drawn],
      ["Lowest score first", `#/jobs/${id}/review?order=score`, query.order === "score"]]),
    el("div", { class: "panel promise" }, bar, number, promise), el("div", { class: "panel card" }, card),
    el("div", { class: "judge" }, acts.map(([text, key, act]) => button([text, " ", el("kbd", { "aria-hidden": "true" }, key)], act))),
    last, el("div", { class: "row" }, field("Note on this answer", note), field("Your name, stored with each verdict (optional)", by)));
  show();
  look();
  await next();
}

// The rows of a random sample, in the order in which they were drawn; and those that filters pick.
async function* sampled(ask, rows, isOpen) {
  for (const row of rows.filter(isOpen)) yield (await ask("rows", { offset: row, limit: 1 })).predictions[0];
}

async function* picked(ask, { status = ["answered", "no_answer"], ...query }, isOpen) {
  for (let part = { next: 0 }; part.next !== null;) {
    part = await ask("rows", { status, ...query, offset: part.next, limit: PAGE });
    yield* part.predictions.filter(({ row }) => isOpen(row));
  }
}
