// The head of every view: where to go, what waits there, and whether the page reads on by itself.
import { html } from "./ui.js";
import { clock } from "./words.js";

export function Header({ view, live, control, mayWrite, views, hasKeys, onPost, onOpen, onSkip }) {
  const counts = { deliveries: live.summary?.failing, rejections: live.summary?.last24Hours?.rejected };
  return html`<header><button type="button" class="skip" onClick=${onSkip}>Skip to the content</button>
    <a class="logo" href="#/operations">opswatch</a>
    <nav aria-label="Views">${Object.entries(views).map(([name, [, title]]) => html`<a key=${name} href=${`#/${name}`}
      aria-current=${name === view || (name === "operations" && view === "operation") ? "page" : undefined}>${title}${
      counts[name] > 0 && html`${" "}<span class="count">${counts[name]}</span>`}</a>`)}</nav>
    <div class="right">${mayWrite && html`<button type="button" class="main" onClick=${() => onPost()}>Post</button>`}
      <${Liveness} live=${live} control=${control} />
      ${hasKeys && html`<button type="button" class="plain" onClick=${() => onOpen("keys")}>Keys</button>`}
      <button type="button" class="plain help" aria-label="Keyboard" onClick=${() => onOpen("help")}>?</button></div>
        </header>`;
}

function Liveness({ live, control }) {
  const readAt = live.readAt ? `read ${clock(new Date(live.readAt).toISOString(), Date.now(), undefined, true)}` : "";
  if (live.mode === "live") return html`<span class="liveness">
    <span class=${`dot ${live.error ? "bad" : "run"}`} aria-hidden="true">
      </span> ${live.error ? "Not read" : "Live"}${readAt && html`<span class="wide"> · ${readAt}</span>`}</span>
    <button type="button" onClick=${() => control.pause()}>Pause</button>`;
  return html`<span class="liveness warn">
    ${live.mode === "asleep" ? "Paused after an hour" : "Paused"}${readAt && html`<span class="wide"> · ${readAt}</span>`}</span>
    <button type="button" onClick=${() => control.resume()}>Resume</button>`;
}
