// The rows that two jobs answer differently.
import { lines } from "./api.js";
import { count, el, line, table, words } from "./dom.js";

const MOST = 200;

export async function diff(content, { id, parts: [, , other], signal }) {
  document.title = `${id} and ${other} – bulkqa`;
  const status = el("p", { class: "dim", role: "status" }, "Comparing …");
  const rows = el("tbody");
  const columns = [["Row"], ["Question", "text"], ...[id, other].map((name) => [el("a", { href: `#/jobs/${name}` }, name), "text"])];
  content.append(el("h1", {}, "What two jobs answer differently"), status, table("Changed rows", columns, rows));
  let number = 0;
  for await (const text of lines(`/v1/jobs/${id}/diff?with=${encodeURIComponent(other)}`, signal)) {
    const [change, summary] = text.split('], "summary": ');
    if (change.startsWith("{") && !change.startsWith('{"first"')) {
      number += 1;
      const { row, question, first, second } = JSON.parse(change.replace(/,$/, ""));
      number <= MOST && rows.append(line(columns, [String(row), question ?? "", answer(first), answer(second)]));
    }
    if (summary) {
      const kinds = Object.entries(JSON.parse(`{"summary": ${summary}`).summary).filter(([, rest]) => rest);
      status.textContent = kinds.map(([kind, rest]) => `${count(rest)} ${words(kind)}`).join(", ") +
        (number > MOST ? `; the first ${MOST} that differ:` : "");
    }
  }
}

const answer = ({ status, answer: text, score }) => (status === "answered"
  ? [el("strong", {}, text), ` (${score.toFixed(3)})`] : el("span", { class: status }, words(status)));
