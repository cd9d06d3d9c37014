// A text with the answer marked in it, in which other words are chosen by dragging over them.
import { el } from "./dom.js";

const WORDS = /[\p{L}\p{M}\p{N}]+/gu;
const points = (text) => Array.from(text).length;

// `chosen` is called with where whole words begin and end, in code points. A finger that goes up or down scrolls.
export function marking(text, { start = 0, end = 0 }, chosen) {
  const parts = Array.from(text);
  const piece = (first, last) => parts.slice(first, last).join("");
  const place = el("div", { class: "text", tabindex: "0", role: "region", "aria-label": "Text" },
    piece(0, start), end ? el("mark", {}, piece(start, end)) : null, piece(end));
  const caret = ({ clientX: x, clientY: y }) => {
    const at = document.caretPositionFromPoint?.(x, y) ?? document.caretRangeFromPoint?.(x, y);
    const node = at?.offsetNode ?? at?.startContainer;
    return place.contains(node) ? [node, at.offset ?? at.startOffset] : null;
  };
  let from; // undefined: nothing is held; null: by a mouse, which selects by itself
  place.addEventListener("pointerdown", (event) => {
    from = event.pointerType === "mouse" ? null : caret(event);
    document.addEventListener("pointerup", () => setTimeout(take), { once: true });
  });
  place.addEventListener("pointermove", (event) => {
    const to = from && caret(event);
    to && getSelection().setBaseAndExtent(...from, ...to);
  });
  place.addEventListener("pointercancel", () => { from = undefined; }); // it scrolls

  function take() {
    const [selection, isHeld] = [getSelection(), from !== undefined];
    from = undefined;
    if (!isHeld || selection.isCollapsed || !selection.containsNode(place, true)) return;
    const range = selection.getRangeAt(0);
    place.contains(range.startContainer) || range.setStart(place, 0);
    place.contains(range.endContainer) || range.setEnd(place, place.childNodes.length);
    const last = range.toString().length;
    range.setStart(place, 0);
    const until = range.toString().length;
    const words = [...text.matchAll(WORDS)].filter((word) => word.index < until && word.index + word[0].length > until - last);
    selection.removeAllRanges();
    if (words.length) {
      const [first, { index, 0: end }] = [words[0].index, words.at(-1)];
      chosen(points(text.slice(0, first)), points(text.slice(0, index + end.length)));
    }
  }
  return place;
}
