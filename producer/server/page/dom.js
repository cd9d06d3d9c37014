// Elements, and numbers in words. Text is set as text: nothing in a job is ever parsed as HTML.

export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function fill(element, attributes = {}, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), value);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// A labelled control, with a sentence of help below it.
export function field(label, input, help) {
  input.id ||= `field-${label.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  const about = help ? el("p", { class: "help", id: `${input.id}-help` }, help) : null;
  if (about) input.setAttribute("aria-describedby", about.id);
  return el("div", {}, el("label", { for: input.id }, label), input, about);
}

export const button = (text, onclick, kind = "plain") => el("button", { class: kind, type: "button", onclick }, text);

// Pairs of a text and an address, of which those without an address are left out; the third: is it this page.
export const nav = (label, links) => el("nav", { "aria-label": label }, links.filter(([, href]) => href).map(([text, href, current]) =>
  el("a", { href, "aria-current": current ? "page" : null }, text)));

export const hint = (...keys) => keys.flatMap(([key, what], at) => [at ? ", " : "Keys: ", el("kbd", {}, key), ` ${what}`]);

// A table that scrolls where it is too wide for the page. A column: its name, and the class of its cells.
export const table = (label, columns, ...body) => el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label },
  el("table", {}, el("thead", {}, el("tr", {}, columns.map(([name, style]) => el("th", { scope: "col", class: style }, name)))), body));
export const line = (columns, cells) => el("tr", {}, cells.map((cell, at) => el("td", { class: columns[at][1] }, cell)));

// A name that may be broken behind its punctuation, and nowhere in a word.
export const breakable = (name) => name.split(/(?<=[_.-])/).flatMap((part) => [part, el("wbr")]);
export const count = (number) => number.toLocaleString("en");
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
export const words = (state) => state.replaceAll("_", " ");
export const state = (name) => el("span", { class: `state ${name}` }, words(name));

export function when(seconds) {
  const moment = new Date(seconds * 1000);
  return seconds ? el("time", { datetime: moment.toISOString() }, moment.toLocaleString()) : "";
}

export const duration = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s`
  : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

// What a forecast says, if it knows.
export const expected = (forecast) => (forecast?.seconds ? `${duration(forecast.seconds)} (${duration(forecast.seconds_low)} to ` +
  `${duration(forecast.seconds_high)}) on ${counted(forecast.workers, "worker")}` : "");

export function bytes(number) {
  const power = number < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(number) / 10));
  const size = number / 1024 ** power;
  return `${power && size < 10 ? size.toFixed(1) : Math.round(size)} ${["bytes", "KiB", "MiB", "GiB"][power]}`;
}
