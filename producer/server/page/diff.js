// The rows that two jobs answer differently.
import { lines } from "./api.js";
import { count, el, words } from "./dom.js";

const MOST = 200;

export async function diff(content, { id, other, signal }) {
  document.title = `${id} and ${other} – bulkqa`;
  const status = el("p", { class: "dim", role: "status" }, "Comparing …");
  const rows = el("tbody");
  const head = ["Row", "Question", id, other].map((name, at) => el("th", { scope: "col" }, at < 2 ? name : el("a", { href: `#/jobs/${name}` }, name)));
  content.append(el("h1", {}, "What two jobs answer differently"), status,
    el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Changed rows" },
      el("table", {}, el("thead", {}, el("tr", {}, head)), rows)));
  let number = 0;
  let summary = null;
  for await (const line of lines(`/v1/jobs/${id}/diff?with=${encodeURIComponent(other)}`, signal)) {
    const end = line.indexOf('], "summary": ');
    const change = (end < 0 ? line : line.slice(0, end)).replace(/,$/, "");
    if (change.startsWith("{") && !change.startsWith('{"first"')) {
      number += 1;
      if (number <= MOST) {
        rows.append(changed(JSON.parse(change)));
      }
    }
    if (end >= 0) {
      ({ summary } = JSON.parse(`{${line.slice(end + 3)}`));
    }
  }
  if (summary) {
    status.textContent = Object.entries(summary).filter(([, rest]) => rest).map(([kind, rest]) => `${count(rest)} ${words(kind)}`).join(", ") +
      (number > MOST ? `; the first ${MOST} that differ:` : "");
  }
}

const changed = ({ row, question, first, second }) => el("tr", {}, el("td", {}, String(row)),
  el("td", { class: "text" }, question ?? ""), [first, second].map((outcome) => el("td", { class: "text" }, answer(outcome))));

const answer = ({ status, answer: text, score }) => (status === "answered"
  ? [el("strong", {}, text), ` (${score.toFixed(3)})`] : el("span", { class: status }, words(status)));
