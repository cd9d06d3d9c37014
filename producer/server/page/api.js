// Requests to the server. Each gives an answer, or throws a Problem.

export class Problem extends Error {
  constructor(document, status) {
    super(document.detail || document.title || "The server did not answer");
    this.status = status;
    this.code = document.code;
    this.remedy = document.remedy_parts || [];
    this.found = document.found || {};
  }
}

// A path of the server as seen from the page, which a proxy may serve below a path of its own.
export const here = (path) => path.replace(/^\//, "");

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(here(path), options);
  } catch {
    throw new Problem({ detail: "The server does not answer.", code: "away" }, 0);
  }
  if (answer.status === 401) {
    location.assign("login");
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Problem(document, answer.status);
  }
  return document;
}

// The lines of an answer, as they come.
export async function* lines(path, signal) {
  const answer = await fetch(here(path), { signal });
  if (!answer.ok) {
    throw new Problem(await answer.json().catch(() => ({})), answer.status);
  }
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    const pieces = (rest + decoder.decode(value, { stream: !done })).split("\n");
    rest = pieces.pop();
    yield* pieces;
    if (done) {
      return;
    }
  }
}

// An answer that is text.
export async function read(path) {
  const answer = await fetch(here(path));
  if (!answer.ok) {
    throw new Problem(await answer.json().catch(() => ({})), answer.status);
  }
  return answer.text();
}

export const get = (path, values = {}) => ask(withQuery(path, values));

export const sendJson = (path, value) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

// Sends a form with a file. Not by fetch, which reports no progress.
export function upload(path, form, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", here(path));
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("load", () => {
      const document = request.response || {};
      request.status < 300 ? resolve(document) : reject(new Problem(document, request.status));
    });
    request.addEventListener("error", () => reject(new Problem({ detail: "The upload was interrupted, or the file was changed meanwhile: choose it again." }, 0)));
    request.send(form);
  });
}

export function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null && item !== "") {
        query.append(name, item);
      }
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
