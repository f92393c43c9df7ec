// Callbacks: what is pending, what was given up and what arrived, by receiver.
import { pathOf } from "./api.js";
import { Paged, pathOfList, SearchOn } from "./paged.js";
import { answerOf, Choice, DeliveryState, go, html, linkOf, Only, queued, Skeleton, Trouble, When } from "./ui.js";
import { host, instant, plural, shortId } from "./words.js";

const NOTHING = {
  pending: "No callback is pending.", abandoned: "No callback was abandoned in this time.",
  delivered: "No callback was delivered in this time.",
};
const STATES = [["pending", "Pending"], ["abandoned", "Abandoned"], ["delivered", "Delivered"]];
const ABANDONED = "#/deliveries?state=abandoned";

export function deliveriesPath(query, shown) {
  const wanted = new URLSearchParams(query);
  if (!wanted.get("state")) wanted.set("state", "pending");
  return pathOfList("deliveries", ["state", "host", "since"], wanted, shown);
}

/** Return the deliveries by host, the host with most of them first; what is due next first in each. */
export function byHost(deliveries) {
  const groups = new Map();
  for (const delivery of deliveries) {
    const name = host(delivery.callbackUrl);
    groups.set(name, [...groups.get(name) ?? [], delivery]);
  }
  const due = delivery => instant(delivery.nextAttemptAt) ?? -(instant(delivery.lastAttemptAt) ?? 0);
  return [...groups].map(([name, rows]) => [name, rows.sort((a, b) => due(a) - due(b))]).sort((a, b) => b[1].length - a[1].length);
}

export function Deliveries({ live, query, onRetry, onShown, mayWrite, act }) {
  const state = STATES.find(([name]) => name === query.get("state"))?.[0] ?? "pending";
  const show = (rows, cut, foot) => html`<h1>Deliveries</h1>
    <div class="filters">
      <${Choice} label="State" options=${STATES} value=${state} onPick=${value => go("deliveries", { ...Object.fromEntries(query), state: value })} />
      <${Only} view="deliveries" query=${query} names=${["host", "since"]} />
      ${mayWrite && state === "abandoned" && rows.length > 0 && html`<button type="button" onClick=${() => act.redeliverAll(query)}>Redeliver all…</button>`}</div>
    <${Trouble} live=${live} onRetry=${onRetry} />
    ${!live.data && !live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}
    ${live.data && !rows.length && (cut ? SearchOn(cut) : html`<div class="note" role="status">
      ${NOTHING[state]}${state === "pending" && html`${" "}<${Abandoned} day=${live.summary?.last24Hours} />`}</div>`)}
    ${byHost(rows).map(([name, group]) => Group({ name, group, state, live, mayWrite, act }))}${foot}`;
  return html`<${Paged} live=${live} query=${query} idOf=${delivery => delivery.deliveryId} show=${show} onShown=${onShown} />`;
}

/** Where the callbacks are that did not arrive: none of them is pending. */
const Abandoned = ({ day }) => html`<a href=${ABANDONED}>${day?.abandoned > 0
  ? `${plural(day.abandoned, "time")} in the last 24 hours one was abandoned.` : "Abandoned ones are in a list of their own."}</a>`;

/** The deliveries to one host, and whether they are paused. */
function Group({ name, group, state, live, mayWrite, act }) {
  const circuit = live.summary?.circuits?.find(circuit => circuit.host === name);
  const isPending = state === "pending", at = delivery => isPending ? delivery.nextAttemptAt : delivery.lastAttemptAt;
  const again = delivery => act.run(`${pathOf(delivery)}/redeliver?delivery=${encodeURIComponent(delivery.deliveryId)}`, queued);
  return html`<section key=${name} aria-label=${name}>
    <h2>${name} <span class="muted">${group.length}</span>
    ${circuit && html`${" "}<span class="tag warn">paused until <${When} at=${circuit.openUntil} seconds /></span>`}</h2>
    <div class="scroll" tabindex="0" role="region" aria-label=${`Deliveries to ${name}`}><table class="deliveries">
      <thead><tr><th scope="col">Operation</th><th scope="col">State</th><th scope="col" class="n wide">Attempts</th>
        <th scope="col" class="wide">Last answer</th>
        <th scope="col" class="wide">${isPending ? "Next attempt" : "Last attempt"}</th>${mayWrite && html`<th scope="col">
        <span class="vh">Action</span></th>`}</tr></thead>
      <tbody>${group.map(delivery => html`<tr key=${delivery.deliveryId}><td>
        <a class="op" href=${linkOf(delivery)}>${shortId(delivery.operationId ?? nameIn(delivery))}</a>
          <small class="wide">${delivery.deliveryId}</small></td>
        <td><${DeliveryState} state=${delivery.state} /><small>${delivery.reason}</small>
          <small class="phone">${answerOf(delivery)}</small>
          <small class="phone">${isPending ? "next" : "last"} <${When} at=${at(delivery)} seconds /></small></td>
        <td class="n wide">${delivery.attempts}</td><td class="wide">${answerOf(delivery)}</td>
        <td class="wide"><${When} at=${at(delivery)} seconds /></td>
        ${mayWrite && html`<td class="act"><button type="button" onClick=${() => again(delivery)}>
          ${isPending ? "Send now" : "Redeliver"}<span class="vh"> ${delivery.deliveryId}</span></button>
            </td>`}</tr>`)}</tbody></table></div></section>`;
}

const nameIn = delivery => (delivery.operationKey ?? "").split("~").at(-1);
