// Verdicts on their way to the server. The browser keeps them until the server has them, whatever happens to the page.
import { patient, post } from "./api.js";

const boxes = new Map(); // by job

// `stored` is called with a verdict that the server has, `refused` with a problem, `away` with one that will pass.
export function outbox(id, handlers) {
  boxes.has(id) || boxes.set(id, box(id));
  boxes.get(id).handlers = handlers;
  return boxes.get(id);
}

function box(id) {
  const key = `verdicts ${id}`;
  let busy = false;
  const give = (verdicts) => post(`/v1/jobs/${id}/verdicts`, { verdicts }, { keepalive: true });
  const self = {
    waiting: JSON.parse(localStorage.getItem(key) ?? "[]"),
    put: (verdict) => keep([...self.waiting, verdict]),
  };
  function keep(waiting) {
    self.waiting = waiting;
    waiting.length ? localStorage.setItem(key, JSON.stringify(waiting)) : localStorage.removeItem(key);
    send();
  }
  async function send() {
    if (busy || !self.waiting.length) return;
    busy = true;
    const [verdict] = self.waiting;
    const problem = await patient(() => give([verdict]), (passing) => self.handlers.away(passing)).then(() => null, (refusal) => refusal);
    busy = false;
    keep(self.waiting.slice(1));
    problem ? self.handlers.refused(problem) : self.handlers.stored(verdict);
  }
  addEventListener("pagehide", () => self.waiting.length && give(self.waiting).catch(() => {})); // in order, if one is under way or not
  setTimeout(send);
  return self;
}
