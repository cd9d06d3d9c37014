// Elements, and numbers in words. Text is set as text: nothing in a job is ever parsed as HTML.

export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function fill(element, attributes = {}, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), value);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// A labelled control, with a sentence of help below it.
export function field(label, input, help) {
  input.id = input.id || `field-${label.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  const about = help ? el("p", { class: "help", id: `${input.id}-help` }, help) : null;
  if (about) {
    input.setAttribute("aria-describedby", about.id);
  }
  return el("div", {}, el("label", { for: input.id }, label), input, about);
}

// A name that may be broken behind its punctuation, and nowhere in a word.
export const breakable = (name) => name.split(/(?<=[_.-])/).flatMap((part) => [part, el("wbr")]);

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
