// Elements, and numbers in words. Text is always text: nothing of a job is ever read as HTML.

export const el = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function filled(made, attributes = {}, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      made.addEventListener(key.slice(2), value);
    } else if (value === true) {
      made.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(key, value);
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function field(label, input) {
  input.id = input.id || `field-${label.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return el("div", {}, el("label", { for: input.id }, label), input);
}

export const count = (number) => number.toLocaleString("en");
export const words = (state) => state.replaceAll("_", " ");
export const state = (name) => el("span", { class: `state ${name}` }, words(name));

export function when(seconds) {
  if (!seconds) {
    return "";
  }
  const moment = new Date(seconds * 1000);
  return el("time", { datetime: moment.toISOString() }, moment.toLocaleString());
}

export function duration(seconds) {
  if (seconds < 90) {
    return `${Math.ceil(seconds)} s`;
  }
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function bytes(number) {
  for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
    if (number < 1024 || unit === "GiB") {
      return `${number < 10 && unit !== "bytes" ? number.toFixed(1) : Math.round(number)} ${unit}`;
    }
    number /= 1024;
  }
}

// What went wrong, and what to do.
export const complaint = (problem) =>
  el("p", { role: "alert", class: "error" }, `${problem.message}${problem.remedy ? ` – ${problem.remedy}` : ""}`);
