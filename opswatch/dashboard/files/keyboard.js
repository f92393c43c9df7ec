// The keyboard, and where its focus goes: rows, the search, and the way round what stands before them.

/** Put the focus on the first row of a list; on the view if it has none. */
export function focusContent() {
  (document.querySelector("main a.op") ?? document.querySelector("main")).focus();
}

/** Move the focus among rows, whose links are given; return whether the key does that. */
export function moveAmong(links, key) {
  const at = links.findIndex(link => link.closest("tr").contains(document.activeElement));
  const to = { j: at + 1, ArrowDown: at + 1, k: at - 1, ArrowUp: at - 1 }[key];
  if (to === undefined) return false;
  links[Math.max(0, Math.min(links.length - 1, to))]?.focus();
  return true;
}

const move = key => moveAmong([...document.querySelectorAll("main tr a.op")], key);

/** Do what a key is for, wherever the focus is: `does` has what the app does, `back` where Esc leads. */
export function onKey(event, { back, does, hasShortcuts }) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { key, target } = event, isSearch = target.id === "search";
  if (key === "Escape" && isSearch) target.value = target.defaultValue; // what was typed is not searched
  const isField = target.closest?.("input, textarea, select");
  const action = key === "Escape" ? (isSearch && focusContent) || back
    : hasShortcuts && !isField && { "/": () => document.getElementById("search")?.focus(), j: () => move("j"), k: () => move("k"), ...does }[key];
  if (action) { event.preventDefault(); action(); }
}

/** Scroll the current view's link into sight among the views: on a phone they are wider than the screen.
 *
 * `scrollIntoView` would do, but Tab would then go on from there instead of from the page's beginning.
 */
export function showCurrent() {
  const link = document.querySelector("nav [aria-current]"), nav = link.parentElement;
  const [at, within] = [link, nav].map(element => element.getBoundingClientRect());
  nav.scrollLeft += Math.min(0, at.left - within.left) + Math.max(0, at.right - within.right);
}
