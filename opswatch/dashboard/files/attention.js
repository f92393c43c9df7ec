// The strip that answers "is anything wrong?" from the summary, and the ends of the last day by the hour.
import { html } from "./ui.js";

const HOURS = 24, HEIGHT = 28, STEP = 6;

export function Attention({ summary }) {
  if (!summary) return html`<div class="attention" aria-hidden="true"></div>`;
  const { now, hours } = summary;
  const items = [
    [now.overdue, "late", "warn", "#/operations?state=watching"],
    [now.slow, "slower than 99 %", "warn", "#/kinds"],
    [now.failed, "failed in 24 h", "bad", "#/operations?status=Failed&since=PT24H"],
    [now.failing, "callbacks failing", "bad", "#/deliveries?state=pending"],
    [now.rejected, "rejected in 24 h", "warn", "#/rejections"],
  ];
  return html`<div class="attention"><ul aria-label="What needs attention">
    ${items.map(([count, name, look, link]) => html`<li key=${name} class=${count ? look : "zero"}>
      <a href=${link}><b>${count ?? 0}</b> <span>${name}</span></a></li>`)}</ul>
    <${Ends} hours=${hours ?? []} /></div>`;
}

/** The ends of each hour as a column, the failed ones below. */
function Ends({ hours }) {
  const shown = hours.slice(-HOURS), most = Math.max(1, ...shown.map(hour => hour.ended ?? 0));
  const total = shown.reduce((sum, hour) => sum + (hour.ended ?? 0), 0);
  const tall = count => count ? Math.max(1, Math.round(count / most * HEIGHT)) : 0;
  return html`<figure class="ends wide"><svg width=${HOURS * STEP} height=${HEIGHT} role="img" aria-label=${`${total} operations ended in the last 24 hours`}>
    ${shown.map((hour, i) => html`<g key=${hour.hour}><title>${`${hour.hour}: ${hour.ended} ended, ${hour.failed} failed`}</title>
      <rect class="ended" x=${i * STEP} y=${HEIGHT - tall(hour.ended)} width=${STEP - 1} height=${tall(hour.ended)} />
      <rect class="failed" x=${i * STEP} y=${HEIGHT - tall(hour.failed)} width=${STEP - 1} height=${tall(hour.failed)} /></g>`)}</svg>
    <figcaption>${total} ended in 24 h</figcaption></figure>`;
}
