// Requests to the server, and what becomes of them: an answer, or a Problem with what to do about it.

export class Problem extends Error {
  constructor(told, status) {
    super(told.detail || told.title || "The server did not answer");
    this.status = status;
    this.code = told.code;
    this.remedy = told.remedy;
    this.found = told.found || {};
  }
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem({ detail: "The server does not answer.", code: "away" }, 0);
  }
  if (answer.status === 401) {
    location.assign("/login");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Problem(told, answer.status);
  }
  return told;
}

export const get = (path, values = {}) => ask(withQuery(path, values));

export const sendJson = (path, value) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

// A form with its file, with what is known of the way: fetch tells nothing of it.
export function upload(path, form, onProgress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("load", () => {
      const told = request.response || {};
      request.status < 300 ? done(told) : failed(new Problem(told, request.status));
    });
    request.addEventListener("error", () => failed(new Problem({ detail: "The upload broke off." }, 0)));
    request.send(form);
  });
}

export function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") {
        query.append(name, one);
      }
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
