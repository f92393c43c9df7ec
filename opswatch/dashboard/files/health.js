// What the app needs, whether it has it, and what to do.
import { html, Skeleton, Trouble } from "./ui.js";

export function Health({ live, onRetry }) {
  const report = live.data, checks = report?.checks ?? [], isHealthy = report?.status === "healthy";
  return html`<h1>Health</h1><${Trouble} live=${live} onRetry=${onRetry} />
    ${!report && !live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}
    ${report && html`<p class="verdict">
      <span class=${`s ${isHealthy ? "ok" : "bad"}`}>${isHealthy ? "Healthy" : "Not healthy"}</span></p>
      <table><thead><tr><th scope="col">Needs</th><th scope="col">Verdict</th>
        <th scope="col">What was found, and what to do</th></tr></thead>
      <tbody>${checks.map((check, i) => html`<tr key=${i}><td>${check.topic}</td><td>
        <span class=${`s ${check.isGood ? "ok" : "bad"}`}>${check.isGood ? "good" : "bad"}</span></td>
          <td>${check.text}</td></tr>`)}</tbody></table>`}`;
}
