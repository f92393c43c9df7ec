// Messages that could not be accepted, and why; each can be posted again, edited.
import { go, html, Only, Select, Skeleton, Trouble, When } from "./ui.js";
import { withoutPaths } from "./mask.js";
import { Paged, pathOfList, SearchOn } from "./paged.js";

const SHOWN = 200; // characters of a message

/** What each reason means: said in the list, and where a post is refused. */
export const MEANINGS = {
  Empty: "The message holds nothing.", NotUtf8: "The message is not UTF-8 text.", NotJson: "It begins like JSON and is not.",
  UnknownShape: "JSON, but not what a post looks like.", MissingSetting: "It leaves out what no setting of the app supplies.",
  InvalidOperation: "This names no operation: give its ID, its ARM path or its status URL.",
  ForeignHost: "The URL is not of the ARM endpoint that this app polls.", InvalidCallback: "The callback is not permitted.",
  InvalidTimeout: "The timeout must be an ISO 8601 duration from 30 seconds to 7 days.", TooLarge: "A value is too long.",
};

export const rejectionsPath = (query, shown) => pathOfList("rejections", ["reason", "since"], query, shown);

export function Rejections({ live, query, onRetry, onShown, mayWrite, act }) {
  const show = (rows, cut, foot) => html`<h1>Rejections</h1>
    <div class="filters">
      <${Select} label="Reason" value=${query.get("reason") ?? ""} options=${[["", "Any reason"], ...Object.keys(MEANINGS).map(name => [name, name])]}
      onPick=${reason => go("rejections", { ...Object.fromEntries(query), reason })} />
      <${Only} view="rejections" query=${query} names=${["since"]} /></div>
    <${Trouble} live=${live} onRetry=${onRetry} />
    ${!live.data && !live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}
    ${live.data && !rows.length && (cut ? SearchOn(cut) : html`<div class="note" role="status">No message was rejected in this time.</div>`)}
    ${rows.length > 0 && html`<table class="rejections"><caption class="vh">Rejected messages, the newest day first</caption>
      <thead><tr><th scope="col">Reason</th><th scope="col">Message</th>
      <th scope="col" class="n wide">Times</th><th scope="col" class="n">Last</th></tr></thead>
      <tbody>${rows.map(row => html`<tr key=${idOf(row)}><td><strong>${row.reason}</strong>
        <small>${MEANINGS[row.reason]}</small></td>
        <td><code class="message">${shortBody(row.body)}</code><small>${withoutPaths(row.detail ?? "")}</small>
        ${mayWrite && html`<button type="button" class="plain small" onClick=${() => act.post(row.body)}>Post again, edited…</button>`}</td><td class="n wide">${row.count}</td>
        <td class="n"><${When} at=${row.receivedAt} /></td></tr>`)}</tbody></table>`}${foot}`;
  return html`<${Paged} live=${live} query=${query} idOf=${idOf} show=${show} order=", the newest day first" onShown=${onShown} />`;
}

const idOf = row => `${row.day}/${row.id}`;

function shortBody(body) {
  const text = withoutPaths(String(body ?? ""));
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text || "(empty)";
}
