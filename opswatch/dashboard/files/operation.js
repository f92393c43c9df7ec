// One operation: how it is, why, its life on one axis, its deliveries, and everything as a table.
import { pathOf } from "./api.js";
import { Life } from "./drawing.js";
import { storyOf } from "./life.js";
import { answerOf, DeliveryState, html, Payload, queued, Skeleton, Status, Trouble, When } from "./ui.js";
import { codesOf, host, kindOf, lateBy, nameOf, plural, portalOf, resource, span, utc, zoneName } from "./words.js";

const STOP = "The operation itself goes on in Azure. No callback is sent.";

export function Operation({ live, back: list, onRetry, mayWrite, act }) {
  const op = live.data;
  const back = html`<p class="back"><a href=${list}>‹ Operations</a></p>`;
  if (!op) {
    const isGone = live.error?.status === 404;
    return html`${back}<h1 class="vh">Operation</h1>${isGone
      ? html`<div class="note" role="status">
        <strong>No such operation.</strong> Results are kept for some time, 30 days unless set otherwise; then they are purged.</div>`
      : html`<${Trouble} live=${live} onRetry=${onRetry} />`}${!live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}`;
  }
  const { group } = resource(op.resourceId), deliveries = op.deliveries ?? [], isRunning = op.state === "watching";
  const path = pathOf(op), portal = portalOf(op), isOwed = deliveries.some(delivery => delivery.state !== "delivered");
  return html`${back}<div class="title"><h1><${Status} op=${op} />${" "}<span class="name">${nameOf(op)}</span>
    ${isRunning && op.slow && html`${" "}<span class="tag warn" title="It runs longer than 99 of 100 of its kind">slow</span>`}
    ${lateBy(op, Date.now()) > 0 && html`${" "}<span class="tag warn">poll late</span>`}</h1>
    <p class="muted">${[kindOf(op), op.location, group].filter(Boolean).join(" · ")}</p>
    <div class="actions">
      ${portal && html`<a class="button" href=${portal} target="_blank" rel="noopener noreferrer">Open resource ↗</a>`}
      <button type="button" onClick=${() => act.copy(op.operationId)}>Copy ID</button>
      ${mayWrite && isRunning && html`<button type="button"
        onClick=${() => act.ask(STOP, "Stop watching", `${path}/stop`, () => "No longer watched.")}>Stop watching…</button>`}
      ${mayWrite && isOwed && html`<button type="button" onClick=${() => act.run(`${path}/redeliver`, queued)}>Redeliver</button>`}</div></div>
    <${Trouble} live=${live} onRetry=${onRetry} />
    <${Reason} op=${op} />
    <section class="panel" aria-label="Its life"><${Life} op=${op} key=${op.key} /></section>
    <p class="sum">${sumOf(op)}</p>
    <${Deliveries} op=${op} path=${path} mayWrite=${mayWrite} act=${act} />
    <${Facts} op=${op} />
    ${op.resultJson !== undefined && op.resultJson !== null && html`<details><summary>Result</summary>
      <${Payload} label="The result" value=${op.resultJson} /></details>`}
    <details><summary>Everything that happened, as a table</summary><${Story} op=${op} /></details>
    <details><summary>Raw</summary><${Payload} label="The row, as the API has it" value=${op} /></details>`;
}

/** Why it ended so: the innermost error first, then the way to it, then all of it. */
function Reason({ op }) {
  const codes = codesOf(op), words = op.lostReason || op.lastMiss;
  if (!codes.length && !op.errorMessage) {
    const isOdd = ["Lost", "TimedOut"].includes(op.status);
    return isOdd && words ? html`<div class="note odd-note">
      <strong>${op.status === "Lost" ? "The status could not be read any more" : "It had not ended by its deadline"}</strong><br />${words}</div>` : null;
  }
  return html`<section class="note bad-note" aria-label="The error"><p><strong>${codes.at(-1) ?? "Error"}</strong>
    ${codes.length > 1 && html`${" "}<span class="muted">in ${codes.slice(0, -1).reverse().join(", in ")}</span>`}</p>
    <p>${op.errorMessageInner || op.errorMessage}</p>
    ${op.errorMessageInner && op.errorMessage !== op.errorMessageInner && html`<p class="muted">${op.errorMessage}</p>`}
    ${op.errorJson && html`<details><summary>Whole error</summary>
      <${Payload} label="The whole error" value=${op.errorJson} /></details>`}</section>`;
}

function sumOf(op) {
  const lag = Date.parse(op.finishedAt) - Date.parse(op.endTime);
  const facts = [
    html`registered <${When} at=${op.registeredAt} seconds />`,
    op.state !== "watching" && op.endTime && html`ended <${When} at=${op.endTime} seconds />`,
    op.state !== "watching" && op.finishedAt && html`seen <${When} at=${op.finishedAt} seconds />${lag > 0 ? `, ${span(lag / 1000)} later` : ""}`,
    `${plural(op.polls ?? 0, "poll")}${op.misses ? `, ${op.misses} missed (${op.lastMiss ?? ""})` : ""}`,
    Number.isFinite(op.durationSeconds) && html`took <strong>${span(op.durationSeconds)}</strong>`,
    op.state === "watching" && op.dueAt && html`next poll <${When} at=${op.dueAt} seconds />`,
    op.state === "watching" && op.expectedEndAt && html`half of its kind have ended by <${When} at=${op.expectedEndAt} />${
      op.expectedEndLatestAt && html`, 90 % by <${When} at=${op.expectedEndLatestAt} />`}`,
    op.state === "watching" && op.slow && html`<strong class="warn">slower than 99 % of its kind</strong>`,
  ].filter(Boolean);
  return facts.map((fact, i) => html`<span key=${i}>${i > 0 && " · "}${fact}</span>`);
}

function Deliveries({ op, path, mayWrite, act }) {
  const deliveries = op.deliveries ?? [];
  if (!deliveries.length) {
    const hosts = op.state === "watching" ? (op.callbacks ?? []).map(host).join(", ") : "";
    return html`<h2>Deliveries</h2>
      <p class="muted">${hosts ? `When it ends, ${hosts} will be called.` : "No callback is registered."}</p>`;
  }
  const again = delivery => act.run(`${path}/redeliver?delivery=${encodeURIComponent(delivery.deliveryId)}`, queued);
  return html`<h2>Deliveries</h2><div class="scroll" tabindex="0" role="region" aria-label="Deliveries"><table class="receivers"><thead><tr>
    <th scope="col">Receiver</th><th scope="col">State</th><th scope="col" class="n wide">Attempts</th>
    <th scope="col" class="wide">Last answer</th><th scope="col" class="wide">Next attempt</th>${mayWrite && html`<th scope="col">
      <span class="vh">Action</span></th>`}</tr></thead><tbody>
    ${deliveries.map(delivery => html`<tr key=${delivery.deliveryId}>
      <td title=${delivery.deliveryId}>${host(delivery.callbackUrl)}</td><td><${DeliveryState} state=${delivery.state} />
        <small>${delivery.reason}</small><small class="phone">${answerOf(delivery)}</small>
        ${delivery.nextAttemptAt && html`<small class="phone">next <${When} at=${delivery.nextAttemptAt} seconds /></small>`}</td>
      <td class="n wide">${delivery.attempts}</td><td class="wide">${answerOf(delivery)}</td>
      <td class="wide"><${When} at=${delivery.nextAttemptAt} seconds /></td>
      ${mayWrite && html`<td class="act">
        <button type="button" onClick=${() => again(delivery)}>${
          delivery.state === "pending" ? "Send now" : "Redeliver"}<span class="vh"> to ${host(delivery.callbackUrl)}</span></button>
      </td>`}</tr>`)}</tbody></table></div>`;
}

function Facts({ op }) {
  const hasState = op.clientState !== undefined && op.clientState !== null;
  const facts = [
    ["Resource", op.resourceId], ["Operation", op.operationId], ["Subscription", op.subscriptionId],
    ["Provider", [op.provider, op.collection].filter(Boolean).join("/")], ["API version", op.apiVersion],
    ["Began (ARM)", op.startTime && html`<${When} at=${op.startTime} seconds />`],
    ["Deadline", op.deadlineAt && html`<${When} at=${op.deadlineAt} />`], ["Round", op.round > 1 && op.round],
    ["Client state", hasState && html`<code>${JSON.stringify(op.clientState)}</code>`],
    ["Cut", op.truncated && "A value was too long for its row and was cut"],
  ];
  return html`<h2>Facts</h2>
    <dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`
      <div key=${name} class=${name === "Resource" ? "long" : undefined}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

const Story = ({ op }) => html`<div class="scroll" tabindex="0" role="region" aria-label="Everything that happened">
  <table><thead><tr><th scope="col">When, ${zoneName(Date.now())}</th><th scope="col" class="wide">UTC</th><th scope="col">What</th>
    <th scope="col">More</th></tr></thead>
  <tbody>${storyOf(op).map((row, i) => html`<tr key=${i}><td><${When} at=${row.at} seconds /></td><td class="wide">${utc(row.at)}</td>
    <td>${row.what}</td><td>${row.more}</td></tr>`)}</tbody></table></div>`;
