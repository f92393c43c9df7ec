// The filters of the list of operations: each is one that the API serves by an index, and all are in the address.
import { Choice, Component, createRef, go, html, Select } from "./ui.js";
import { searchOf } from "./rows.js";

const STATES = [["", "All"], ["watching", "Running"], ["finished", "Ended"]];
const STATUSES = [["", "Any status"], ...["Succeeded", "Failed", "Canceled", "TimedOut", "Lost", "Stopped"].map(s => [s, s]),
  ["Failed,TimedOut,Lost", "Failed, TimedOut or Lost"]];
const SINCE = [["", "Last 30 days"], ["PT1H", "Last hour"], ["P1D", "Last 24 hours"], ["P7D", "Last 7 days"]];

export class Filters extends Component {
  search = createRef();

  pick(name, value) {
    const query = new URLSearchParams(this.props.query);
    query.set(name, value);
    if (name === "state" && value === "watching") query.delete("status");
    go("operations", query);
  }

  find = event => {
    event.preventDefault();
    const query = new URLSearchParams(this.props.query);
    query.delete("operation");
    query.delete("resource");
    for (const [name, value] of Object.entries(searchOf(this.search.current.value))) query.set(name, value);
    go("operations", query);
  };

  render({ query, rows }) {
    const get = name => query.get(name) ?? "";
    const kinds = [...new Set([...rows.map(row => row.kind), get("kind")].filter(Boolean))].sort();
    const others = [...query.keys()].filter(name => name !== "state").length;
    return html`<form class="filters" role="search" aria-label="Filters" onSubmit=${this.find}>
      <${Choice} label="State" options=${STATES} value=${get("state")} onPick=${value => this.pick("state", value)} />
      ${get("state") !== "watching" && html`<${Select} label="Status" options=${withCurrent(STATUSES, get("status"))}
        value=${get("status")} onPick=${value => this.pick("status", value)} />`}
      <${Select} label="Kind" options=${[["", "Any kind"], ...kinds.map(kind => [kind, kind])]} value=${get("kind")} onPick=${value => this.pick("kind", value)} />
      <${Select} label="Registered" options=${withCurrent(SINCE, get("since"))} value=${get("since")} onPick=${value => this.pick("since", value)} />
      <input id="search" ref=${this.search} type="search" aria-label="Resource, operation ID or status URL" autocomplete="off"
        spellcheck=${false} placeholder="Resource, operation ID or URL" key=${get("operation") || get("resource")}
        defaultValue=${get("operation") || get("resource")} onChange=${this.find} />
      <button class="vh" type="submit">Find</button>
      ${others > 0 && html`<button type="button" class="plain" onClick=${() => go("operations", get("state") ? { state: get("state") } : {})}>
        Clear ${others} ${others > 1 ? "filters" : "filter"}</button>`}</form>`;
  }
}

const withCurrent = (options, value) => options.some(([name]) => name === value) ? options : [...options, [value, value]];
