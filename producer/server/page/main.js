// Shows the view that the address names after the #, so that links can be shared.
import { diff } from "./diff.js";
import { document_ } from "./document.js";
import { job } from "./job.js";
import { jobs } from "./jobs.js";
import { complaint } from "./remedy.js";
import { review } from "./review.js";
import { tryIt } from "./try.js";

const VIEWS = [[/^jobs\/[^/]+\/documents\/\d+$/, document_], [/^jobs\/[^/]+\/review$/, review], [/^jobs\/./, job],
  [/^diff\/[^/]+\/./, diff], [/^try/, tryIt], [/^/, jobs]];
const content = document.getElementById("content");
const trouble = document.getElementById("trouble");
let left = new AbortController();

// Shows a trouble of the whole page, until tell("").
function tell(text) {
  trouble.hidden = !text;
  trouble.textContent = text;
}

async function show() {
  left.abort();
  left = new AbortController();
  tell("");
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/");
  for (const link of document.querySelectorAll("nav a")) {
    link.ariaCurrent = link.hash === `#/${parts[0] === "try" ? "try" : ""}` ? "page" : null;
  }
  content.replaceChildren();
  const { signal } = left;
  const [, view] = VIEWS.find(([pattern]) => pattern.test(path));
  try {
    await view(content, { id: parts[1], parts, values: new URLSearchParams(query), signal, tell });
  } catch (problem) {
    signal.aborted || content.append(complaint(problem));
  }
}

addEventListener("hashchange", () => {
  content.focus(); // at once: later it would be taken from a field in which somebody types already
  show();
});
show();
