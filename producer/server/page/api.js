// Requests to the server. Each gives an answer, or throws a Problem.

const AGAIN = 2000;

export class Problem extends Error {
  constructor(document, status) {
    super(document.detail || document.title || "The server did not answer");
    Object.assign(this, { status, remedy: document.remedy_parts || [], found: document.found || {} });
  }
}

// A path of the server as seen from the page, which a proxy may serve below a path of its own.
export const here = (path) => path.replace(/^\//, "");

async function open(path, options) {
  const answer = await fetch(here(path), options).catch(() => {
    throw new Problem({ detail: "The server does not answer." }, 0);
  });
  if (answer.status === 401) location.assign("login");
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({})), answer.status);
  return answer;
}

export const ask = async (path, options) => (await open(path, options)).json();
export const read = async (path) => (await open(path)).text();
export const get = (path, values = {}) => ask(withQuery(path, values));
export const post = (path, value = {}, options = {}) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value), ...options });

// The result of a request, which is retried while a problem is temporary; `away` is called with that problem.
export const patient = (request, away) => request().catch(async (problem) => {
  if (![0, 401, 429].includes(problem.status) && !(problem.status >= 500)) throw problem;
  away(problem);
  await new Promise((go) => setTimeout(go, AGAIN));
  return patient(request, away);
});

// The lines of an answer, as they come.
export async function* lines(path, signal) {
  const reader = (await open(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const pieces = (rest + part.value).split("\n");
    rest = pieces.pop();
    yield* pieces;
  }
}

// Sends a form with a file. Not by fetch, which reports no progress.
export function upload(path, form, onProgress) {
  const cut = "The upload was interrupted, or the file was changed meanwhile: choose it again.";
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", here(path));
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("error", () => reject(new Problem({ detail: cut }, 0)));
    request.addEventListener("load", () => {
      const document = request.response || {};
      request.status < 300 ? resolve(document) : reject(new Problem(document, request.status));
    });
    request.send(form);
  });
}

// A path with those of the values that are set.
export function withQuery(path, values) {
  const pairs = Object.entries(values).flatMap(([name, value]) => [value].flat().map((item) => [name, item ?? ""]));
  const query = String(new URLSearchParams(pairs.filter(([, item]) => item !== "")));
  return query ? `${path}?${query}` : path;
}
