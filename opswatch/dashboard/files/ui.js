// What every view is made of: small pieces without state.
import { Component, createRef, Fragment, h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";
import { clock, lookOf, utc } from "./words.js";

export const html = htm.bind(h);
export { Component, createRef, Fragment, render };

/** The status of an operation: a sign, a colour and always the word. */
export const Status = ({ op }) => html`<span class=${`s ${lookOf(op)}`}>${op.status || "registered"}</span>`;

const DELIVERY_LOOKS = { delivered: "ok", pending: "run", abandoned: "bad" };
export const DeliveryState = ({ state }) => html`<span class=${`s ${DELIVERY_LOOKS[state] ?? "odd"}`}>${state}</span>`;

/** An instant: local on the screen, UTC in the title. */
export const When = ({ at, seconds }) => {
  const text = clock(at, Date.now(), undefined, seconds);
  return text ? html`<time datetime=${at} title=${utc(at)}>${text}</time>` : "–";
};

/** JSON or any text that somebody else has written: shown as text, in a box that the keyboard can scroll. */
export const Payload = ({ label, value }) => html`<pre tabindex="0" role="region" aria-label=${label}>${
  typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>`;

export const Skeleton = ({ isSlow }) => html`<div class="skeleton" aria-busy="true">
  <p role="status" class=${isSlow ? "muted" : "vh"}>${isSlow ? "Waking the app up…" : "Reading…"}</p>
  ${Array.from({ length: 8 }, (_, i) => html`<div key=${i}></div>`)}</div>`;

/** A chosen one of a few: buttons that say which is pressed. */
export const Choice = ({ label, options, value, onPick }) => html`<div class="choice" role="group" aria-label=${label}>
  ${options.map(([name, text]) => html`<button type="button" key=${name} aria-pressed=${String(value === name)}
    onClick=${() => onPick(name)}>${text}</button>`)}</div>`;

export const Select = ({ label, options, value, onPick }) => html`<select aria-label=${label} value=${value}
  onChange=${event => onPick(event.target.value)}>
  ${options.map(([name, text]) => html`<option key=${name} value=${name} selected=${name === value}>${text}</option>`)}</select>`;

/** What could not be read: what was read before stays on the screen below it. */
export const Trouble = ({ live, onRetry }) => {
  const { error, nextAt } = live;
  if (!error || error.status === 401) return null;
  const what = { 0: "The app cannot be reached.", 403: "This is not allowed.", 404: "There is no such thing here.", 429: "Too many requests." };
  return html`<div class="note bad-note" role="alert"><p>
    <strong>${what[error.status] ?? `The app answered ${error.status}.`}</strong>
    ${" "}${[error.code, error.message].filter(Boolean).join(": ")}</p>
    <p class="muted">The next try is at ${clock(new Date(nextAt).toISOString(), Date.now(), undefined, true)}.
    ${" "}<button type="button" onClick=${onRetry}>Try again now</button></p></div>`;
};

/** Go to a view. Filters live in the fragment: links, Back and reload keep them, and no log sees them. */
export function go(view, query) {
  const filters = new URLSearchParams(query ?? {});
  for (const [name, value] of [...filters]) if (!value) filters.delete(name);
  location.hash = `/${view}${filters.size ? `?${filters}` : ""}`;
}

export const linkOf = row => `#/operations/${[row.subscriptionId, row.operationKey ?? row.key].map(encodeURIComponent).join("/")}`;

const SPANS = { PT1H: "Last hour", P1D: "Last 24 hours", P7D: "Last 7 days" };

/** The filters of a view that have no control of their own: what they are, and a way to drop each. */
export const Only = ({ view, query, names }) => names.filter(name => query.get(name)).map(name => {
  const rest = new URLSearchParams(query), value = query.get(name);
  rest.delete(name);
  return html`<button type="button" class="plain" key=${name} onClick=${() => go(view, rest)}>${
    name === "since" ? SPANS[value] ?? `since ${value}` : value} only ✕</button>`;
});

/** What is said of an answer to a redelivery. */
export const queued = answer => `${answer?.value?.length ?? answer?.count ?? 0} queued for delivery.`;

/** The last answer to a delivery, or why there was none. */
export const answerOf = delivery => String(delivery.lastError ?? delivery.lastStatusCode ?? "–");
