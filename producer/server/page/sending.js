// The end of a form that makes a job: its name, its button, what goes on, and what went wrong.
import { upload } from "./api.js";
import { el, field } from "./dom.js";
import { complaint } from "./remedy.js";

// `remedies`: what a click on a remedy fills in.
export function sending({ go: text, name: usual, remedies }) {
  const [status, trouble] = [el("p", { class: "dim", role: "status" }), el("div")];
  const go = el("button", {}, text);
  const bar = el("progress", { value: 0, max: 1, hidden: true, "aria-label": "sent" });
  const name = el("input", { autocomplete: "off", placeholder: usual, maxlength: 200 });
  const say = (sentence, problem) => {
    status.textContent = sentence;
    trouble.replaceChildren(...problem ? [complaint(problem, remedies)] : []);
  };
  const send = async (data, sentence) => {
    go.disabled = true;
    bar.hidden = false;
    say(sentence);
    try {
      const job = await upload("/v1/jobs", data, (part) => { bar.value = part; });
      location.hash = `#/jobs/${job.id}`;
    } catch (problem) {
      say("", problem);
      go.disabled = false;
      bar.hidden = true;
    }
  };
  const node = [el("div", { class: "go" }, go, status), bar, trouble];
  return { node, go, name, say, send, named: (help) => field("Name", name, help) };
}

// The options as they are sent. Labels, of which the name is one, go with those that were typed.
export function body(options, labels) {
  const data = new FormData();
  for (const [option, { sent }] of options) sent === undefined || data.append(option, sent);
  const given = Object.fromEntries(Object.entries(labels).filter(([, value]) => value));
  try {
    data.set("metadata", JSON.stringify({ ...given, ...JSON.parse(data.get("metadata") ?? "{}") }));
  } catch { // the server says what is wrong with it
  }
  return data;
}
