// The dialogs: post, confirm, keys, help. Each opens with the focus in it, and gives it back.
import { call, keys } from "./api.js";
import { MEANINGS } from "./rejections.js";
import { Component, createRef, html } from "./ui.js";

export class Dialog extends Component {
  dialog = createRef();

  componentDidMount() { this.dialog.current.showModal(); }

  render({ label, onClose, children }) {
    return html`<dialog ref=${this.dialog} aria-label=${label} onClose=${onClose}><h2>${label}</h2>${children}</dialog>`;
  }
}

/** Return the message of a form: JSON as it was written, else an object of what was filled in. */
export function messageOf(fields) {
  const operation = fields.operation.trim();
  if (operation.startsWith("{")) return operation;
  const given = ["callbackUrl", "kind", "resourceId", "timeout"].filter(name => fields[name]?.trim());
  return JSON.stringify({ operation, ...Object.fromEntries(given.map(name => [name, fields[name].trim()])) });
}

export class Post extends Component {
  state = { problem: null, isSending: false };
  text = createRef();

  componentDidMount() { this.text.current.value = this.props.body ?? ""; this.text.current.focus(); }

  send = async event => {
    event.preventDefault();
    this.setState({ isSending: true, problem: null });
    try {
      this.props.onPosted(await call("operations", { method: "POST", body: messageOf(Object.fromEntries(new FormData(event.target))) }));
    } catch (problem) {
      this.setState({ problem, isSending: false });
      this.text.current?.focus();
    }
  };

  onKey = event => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!this.state.isSending) event.currentTarget.requestSubmit();
  };

  render({ onClose }, { problem, isSending }) {
    const field = (name, label, hint) => html`<label>${label}<input name=${name} placeholder=${hint} autocomplete="off" spellcheck=${false} /></label>`;
    return html`<${Dialog} label="Post an operation" onClose=${onClose}><form onSubmit=${this.send} onKeyDown=${this.onKey}>
      <label>Operation ID, ARM path, status URL, or JSON<textarea ref=${this.text} name="operation" rows="5" required spellcheck=${false}
        aria-invalid=${problem ? "true" : undefined} aria-describedby="refused"></textarea></label>
      <details><summary>Callback, kind, resource, timeout</summary>
        ${field("callbackUrl", "Callback URL", "https://example.com/hook")}${field("kind", "Kind", "redisEnterprise/create")}
        ${field("resourceId", "Resource ID", "/subscriptions/…")}${field("timeout", "Timeout", "PT6H")}
        <p class="muted">These are for an ID, a path or a URL. JSON has its own.</p></details>
      <div id="refused" role="alert">${problem && html`<p class="bad">
        <strong>${whyNot(problem)}</strong> ${[problem.code, problem.message].filter(Boolean).join(": ")}</p>`}</div>
      <div class="actions"><span class="muted hint">Ctrl+Enter posts</span><button type="button" onClick=${() => onClose()}>Cancel</button>
        <button class="main" disabled=${isSending}>${isSending ? "Posting…" : "Post"}</button></div>
    </form></${Dialog}>`;
  }
}

export function whyNot({ status, code }) {
  if (status === 401 || status === 403) return "This key may read only: an operator's key is needed.";
  return MEANINGS[code] ?? (status ? `The app answered ${status}.` : "The app cannot be reached.");
}

export const Ask = ({ question, verb, onYes, onClose }) => html`<${Dialog} label=${`${verb}?`} onClose=${onClose}>
  <p>${question}</p>
  <form method="dialog" class="actions"><button>Cancel</button><button class="main" onClick=${onYes}>${verb}</button>
    </form></${Dialog}>`;

const SHORTCUTS = [
  ["j k", "next row, previous row"], ["↓ ↑", "the same, in the table"], ["Enter", "open it"], ["Esc", "back to the list"],
  ["/", "search"], ["r", "read now"], ["p", "post"], ["Ctrl Enter", "in the dialog: post it"], ["?", "this list"],
];

export const Help = ({ hasShortcuts, onSwitch, onClose }) => html`<${Dialog} label="Keyboard" onClose=${onClose}>
  <dl class="keys">${SHORTCUTS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
  <label class="switch">
    <input type="checkbox" checked=${hasShortcuts} onChange=${event => onSwitch(event.target.checked)} /> Single keys work: j k / r p ?</label>
  <form method="dialog" class="actions"><button>Close</button></form></${Dialog}>`;

const LIST_KEYS = "az functionapp function keys list --function-name read --name APP --resource-group GROUP";

/** The form of the keys: in the page while none is accepted, and in a dialog afterwards. */
export const KeyForm = ({ isWrong, onSaved }) => {
  const save = event => {
    event.preventDefault();
    const given = new FormData(event.target);
    for (const use of ["read", "write"]) if (given.get(use)?.trim()) keys.set(use, given.get(use).trim());
    onSaved();
  };
  const field = (use, label, isRequired) => html`<label>${label}<input name=${use} type="password" autocomplete="off" required=${isRequired} /></label>`;
  return html`<form class="keyform" onSubmit=${save}>${isWrong && html`<p class="bad" role="alert">
    <strong>That key was not accepted.</strong></p>`}
    ${field("read", "Viewer's key", true)}${field("write", "Operator's key, to change anything (optional)", false)}
    <p class="muted">The keys of the functions <code>read</code> and <code>write</code>; a key of the whole app is both.
      They stay in this tab until it is closed, and are sent as a header only.</p>
    <pre tabindex="0" role="region" aria-label="The command that lists the keys">${LIST_KEYS}</pre>
    <div class="actions"><button class="main">Open</button></div></form>`;
};

export const Keys = ({ mayWrite, onSaved, onForget, onClose }) => html`<${Dialog} label="Keys" onClose=${onClose}>
  <p>${mayWrite ? "This tab has keys that may read and write." : "This tab's key may read only."}</p>
  <${KeyForm} onSaved=${onSaved} /><form method="dialog" class="actions"><button>Close</button>
    <button onClick=${onForget}>Forget the keys</button></form></${Dialog}>`;
