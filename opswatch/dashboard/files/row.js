// One row of the list. What changes often, the number of polls, changes in place; a row whose words change
// is replaced as a whole, by its key: two changes of the DOM, however many cells they touch.
import { animateToEnd } from "./progress.js";
import { html, linkOf, Status, When } from "./ui.js";
import { clock, codesOf, instant, kindOf, lateBy, lookOf, nameOf, resource, shortId, span } from "./words.js";
import { idOf } from "./rows.js";

export function Row({ op, hasLeft }) {
  const late = lateBy(op, Date.now()), { group } = resource(op.resourceId), codes = codesOf(op);
  const why = codes.at(-1) ?? op.errorMessage; // which is why an operation is lost, too
  const words = [op.status, op.state, op.slow, late > 0, op.misses, op.percentComplete, op.expectedEndAt, op.errorMessage,
    ...codes, op.kind, op.resourceId, op.durationSeconds, op.finishedAt, op.registeredAt, hasLeft];
  const id = idOf(op);
  return html`<tr key=${`${id} ${JSON.stringify(words)}`} data-row=${id} class=${hasLeft ? "left" : undefined}
      title=${hasLeft ? "No longer in this list" : undefined}>
    <td class="c-status">
      <${Status} op=${op} />${(late > 0 || op.slow) && html`<small class="warn">${late > 0 ? "poll late" : "slow"}</small>`}</td>
    <td class="c-resource"><a class="op" href=${linkOf(op)} title=${op.resourceId || op.operationId}>${nameOf(op)}</a>
      ${group !== "" && html`<span class="muted wide"> ${group}</span>`}
      <small>${why && html`<span class=${`${lookOf(op)} phone`} title=${why}>${why}</span>`}<span class=${why ? "wide" : ""}>${
        [kindOf(op), op.location].filter(Boolean).join(" · ")}</span></small></td>
    <td class="c-id wide"><code title=${op.operationId}>${shortId(op.operationId ?? "")}</code></td>
    <td class="c-error wide">${codes.length > 0 && html`<span class=${lookOf(op)}>${codes.join(" › ")}</span>`}
      ${Boolean(op.errorMessage) && html`<small title=${op.errorMessage}>${op.errorMessage}</small>`}</td>
    <td class="c-polls n wide">
      <span>${op.polls ?? ""}</span>${op.misses > 0 && html`<small class="warn">${op.misses} missed</small>`}</td>
    <td class="c-took n">${op.state === "watching" ? Progress({ op }) : tookOf(op)}</td>
    <td class="c-when n wide"><${When} at=${op.registeredAt} /></td></tr>`;
}

/** How far a running operation is: by ARM's percentage, or else by when its kind usually ends. */
function Progress({ op }) {
  const from = instant(op.startTime) ?? instant(op.registeredAt), to = instant(op.expectedEndAt);
  if (Number.isFinite(op.percentComplete) && op.percentComplete > 0) {
    const share = Math.min(1, op.percentComplete / 100);
    return html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width="100" height="6" />
      <rect class="done" width=${100 * share} height="6" /></svg><small>${Math.round(op.percentComplete)} %</small>`;
  }
  if (to === null || from === null || to <= from) return html`<small>since ${clock(op.startTime ?? op.registeredAt, Date.now())}</small>`;
  return html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" width="100" height="6" />
    <rect class="done" width="100" height="6" ref=${rect => animateToEnd(rect, from, to)} /></svg>
    <small title=${`half of its kind take no more than ${span((to - from) / 1000)}`}>
      <span class="wide">~${span((to - from) / 1000)}, expected </span>
        <span class="phone">~</span>${clock(op.expectedEndAt, Date.now())}</small>`;
}

function tookOf(op) {
  const seconds = op.durationSeconds ?? (instant(op.finishedAt) - instant(op.startTime ?? op.registeredAt)) / 1000;
  return html`<span title=${Number.isFinite(op.durationSeconds) ? "as ARM says" : "until its end was seen"}>${
    op.status === "Lost" || op.status === "Stopped" ? "–" : span(seconds)}</span>`;
}
