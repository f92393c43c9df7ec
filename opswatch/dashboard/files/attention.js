// The strip that answers "is anything wrong?" from the summary, and the ends of the last day by the hour.
import { html, When } from "./ui.js";
import { clock, plural } from "./words.js";

const FAILED = ["failed", "timedOut", "lost"];
const TIMES = "How often a delivery was abandoned: one that was sent again may count twice, and is listed once";
const HOURS = 24, HEIGHT = 28, STEP = 6;

export function Attention({ summary }) {
  if (!summary) return html`<div class="attention" aria-hidden="true"></div><p class="counted">${"\u00a0"}</p>`;
  const day = summary.last24Hours ?? {}, failed = (day.failed ?? 0) + (day.timedOut ?? 0) + (day.lost ?? 0);
  const poison = Object.values(summary.poisoned ?? {}).reduce((sum, count) => sum + count, 0);
  const items = [
    [summary.overdue, "late", "warn", "#/operations?state=watching"],
    [summary.slow, "slower than 99 %", "warn", "#/kinds"],
    [failed, "failed in 24 h", "bad", "#/operations?status=Failed%2CTimedOut%2CLost&since=P1D"],
    [summary.failing, "callbacks failing", "bad", "#/deliveries?state=pending"],
    [day.abandoned, "abandoned in 24 h", "bad", "#/deliveries?state=abandoned&since=P1D", TIMES],
    [day.rejected, "rejected in 24 h", "warn", "#/rejections?since=P1D"],
  ];
  return html`<div class="attention"><ul aria-label="What needs attention">
    ${items.map(([count, name, look, link, title]) => html`<li key=${name} class=${count ? look : "zero"}>
      <a href=${link} title=${title}><b>${count ?? 0}</b> <span>${name}</span></a></li>`)}</ul>
    <${Ends} hours=${summary.hours ?? []} /></div>
    <p class="counted">${summary.countedAt ? html`Counted at <${When} at=${summary.countedAt} />, each minute`
      : "Not counted yet: the first count follows within a minute"}${
      poison > 0 && html` · <a href="#/health">${plural(poison, "poison message")}</a>`}</p>`;
}

/** The ends of each hour as a column, the failed ones below. */
function Ends({ hours }) {
  const shown = hours.slice(-HOURS).map(counts => {
    const sum = names => names.reduce((total, name) => total + (counts[name] ?? 0), 0);
    return { hour: counts.hour, ended: sum(["succeeded", "canceled", "stopped", ...FAILED]), failed: sum(FAILED) };
  });
  const most = Math.max(1, ...shown.map(hour => hour.ended)), total = shown.reduce((sum, hour) => sum + hour.ended, 0);
  const tall = count => count ? Math.max(1, Math.round(count / most * HEIGHT)) : 0;
  const saidAs = ({ hour, ended, failed }) => `${clock(`${hour}:00:00Z`, Date.now())}: ${ended} ended, ${failed} of them failed`;
  return html`<figure class="ends wide">
    <svg width=${HOURS * STEP} height=${HEIGHT} role="img" aria-label=${`${plural(total, "operation")} ended in the last 24 hours`}>
    ${shown.map((hour, i) => html`<g key=${hour.hour}><title>${saidAs(hour)}</title>
      <rect class="ended" x=${i * STEP} y=${HEIGHT - tall(hour.ended)} width=${STEP - 1} height=${tall(hour.ended)} />
      <rect class="failed" x=${i * STEP} y=${HEIGHT - tall(hour.failed)} width=${STEP - 1} height=${tall(hour.failed)} />
        </g>`)}</svg>
    <figcaption>${total} ended in 24 h</figcaption></figure>`;
}
