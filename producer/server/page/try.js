// A question and a context, answered at once.
import { post } from "./api.js";
import { el, field } from "./dom.js";
import { prediction } from "./prediction.js";
import { complaint } from "./remedy.js";

const QUESTION = "When was the lighthouse built?";
const CONTEXT = "The lighthouse on the point was built in 1874 by the fishermen of the village, and its lamp was lit by hand until 1931.";

export async function tryIt(content) {
  document.title = "Try it – bulkqa";
  const question = el("input", { name: "question", required: true, value: QUESTION });
  const context = el("textarea", { name: "context", required: true, rows: 8 }, CONTEXT);
  const go = el("button", {}, "Answer");
  const result = el("div", { "aria-live": "polite" });
  const form = el("form", { class: "panel" }, field("Question", question), field("Context", context), go);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    result.replaceChildren(el("p", { class: "dim" }, "…"));
    const answer = post("/v1/answer", { question: question.value, context: context.value, top_k: 3 });
    result.replaceChildren(await answer.then(({ predictions }) =>
      el("ol", { class: "answers" }, predictions.map((row) => prediction(row))), (problem) => complaint(problem)));
    go.disabled = false;
  });
  content.append(el("h1", {}, "Try it"), form, result);
}
