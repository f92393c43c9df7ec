// A bar that grows by itself: an animation changes nothing in the DOM, and needs no timer and no request.
// It grows in steps of about a pixel: a smooth one would be drawn 60 times a second for minutes.
const growing = new WeakSet();
const isStill = matchMedia("(prefers-reduced-motion: reduce)");

/** Let `rect` grow from where the operation is now to its whole width at `to` (ms). */
export function animateToEnd(rect, from, to) {
  if (!rect || growing.has(rect)) return;
  growing.add(rect);
  const share = Math.min(1, Math.max(0, (Date.now() - from) / (to - from)));
  const here = `scaleX(${share})`, left = to - Date.now();
  if (left <= 0) return;
  rect.animate([{ transform: here }, { transform: isStill.matches ? here : "scaleX(1)" }], { duration: left, fill: "forwards", easing: "steps(120)" });
}
