// Shows the view that the address names after the #, so that links can be shared.
import { diff } from "./diff.js";
import { document_ } from "./document.js";
import { job } from "./job.js";
import { jobs } from "./jobs.js";
import { complaint } from "./remedy.js";
import { tryIt } from "./try.js";

const content = document.getElementById("content");
const trouble = document.getElementById("trouble");
let leave = () => {};

// Shows a trouble of the whole page, until tell("").
export function tell(text) {
  trouble.hidden = !text;
  trouble.textContent = text;
}

async function show() {
  leave();
  tell("");
  const [path, query = ""] = location.hash.slice(1).split("?");
  const values = new URLSearchParams(query);
  const parts = path.split("/").filter(Boolean);
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash === `#/${parts[0] === "try" ? "try" : ""}`;
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  content.replaceChildren();
  const left = new AbortController();
  leave = () => left.abort();
  const view = parts[2] === "documents" && parts[3] ? document_ : parts[0] === "jobs" && parts[1] ? job : parts[0] === "diff" && parts[2] ? diff : parts[0] === "try" ? tryIt : jobs;
  try {
    await view(content, { id: parts[1], other: parts.at(-1), values, signal: left.signal, tell });
  } catch (problem) {
    if (left.signal.aborted) {
      return;
    }
    content.append(complaint(problem));
  }
}

addEventListener("hashchange", async () => {
  await show();
  content.focus();
});
show();
