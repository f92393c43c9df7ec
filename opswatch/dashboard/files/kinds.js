// How long the operations of each kind take, and what of it runs now.
import { html, Skeleton, Trouble } from "./ui.js";
import { span } from "./words.js";

const FEW = 20; // ended operations, below which a percentile is a guess
const WIDTH = 260, HEIGHT = 18, SHORTEST = 1; // seconds, at the left edge

export function Kinds({ live, onRetry }) {
  const rows = live.data?.value ?? [], longest = Math.max(60, ...rows.map(row => row.p99 ?? 0));
  return html`<h1>Kinds</h1><${Trouble} live=${live} onRetry=${onRetry} />
    ${!live.data && !live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}
    ${live.data && !rows.length && html`<div class="note" role="status">No durations are learned yet: each operation that ends adds to its kind.</div>`}
    ${rows.length > 0 && html`<p class="muted">How long operations take: 50, 90 and 99 of 100 end within these times.
      ${rows.some(isGuess) && html`${" "}Those with ~ are guesses from fewer than ${FEW} operations.`}<span class="wide"> The scale of the strips is logarithmic.</span></p>
      <div class="scroll" tabindex="0" role="region" aria-label="Kinds"><table class="kinds"><thead><tr><th scope="col">Kind</th>
        <th scope="col" class="n wide">Ended</th><th scope="col" class="n">p50</th><th scope="col" class="n wide">p90</th>
          <th scope="col" class="n">p99</th>
      <th scope="col" class="wide">Spread, up to ${span(longest)}</th><th scope="col" class="n">Running</th>
        <th scope="col" class="n wide">Slow</th></tr></thead>
      <tbody>${rows.map(row => html`<tr key=${`${row.provider}/${row.kind ?? row.collection}`}><td>
        <strong>${row.kind ?? row.collection}</strong>
          <small>${row.provider}${!row.kind && ", posted without a kind"}</small></td><td class="n wide">${row.n}</td>
        <td class="n">${timeOf(row, "p50")}</td><td class="n wide">${timeOf(row, "p90")}</td><td class="n">${timeOf(row, "p99")}</td>
          <td class="wide">${Strip({ row, longest })}</td>
        <td class="n">${row.running ? html`<a href=${runningOf(row)}>${row.running}</a>` : 0}${row.slow > 0 && html`<small class="phone warn">${row.slow} slow</small>`}</td>
        <td class="n wide">${row.slow ? html`<strong class="warn">${row.slow} slow</strong>` : 0}</td></tr>`)}</tbody></table>
          </div>`}`;
}

const isGuess = row => row.n < FEW && Number.isFinite(row.p50);

const timeOf = (row, name) => `${isGuess(row) ? "~" : ""}${span(row[name])}`;

function runningOf({ provider, kind }) {
  return `#/operations?${new URLSearchParams({ state: "watching", provider, ...(kind && { kind }) })}`;
}

/** p50 as a dot, the way to p90 as a thick line and to p99 as a thin one. */
function Strip({ row, longest }) {
  if (![row.p50, row.p90, row.p99].every(Number.isFinite)) return null;
  const x = seconds => Math.log(Math.max(SHORTEST, seconds) / SHORTEST) / Math.log(longest / SHORTEST) * (WIDTH - 12) + 6, y = HEIGHT / 2;
  return html`<svg class="strip" width=${WIDTH} height=${HEIGHT} aria-hidden="true">
    <path class="grid" d=${`M6 ${y}H${WIDTH - 6}`} />
    <path class="thin" d=${`M${x(row.p90)} ${y}H${x(row.p99)}m0 -4v8`} />
      <path class="thick" d=${`M${x(row.p50)} ${y}H${x(row.p90)}`} /><circle cx=${x(row.p50)} cy=${y} r="4" /></svg>`;
}
