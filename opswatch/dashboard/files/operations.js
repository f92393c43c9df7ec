// The list of operations: what is wrong, what runs and how far, and any one of them.
import { nextOf } from "./api.js";
import { Attention } from "./attention.js";
import { Filters } from "./filters.js";
import { moveAmong } from "./keyboard.js";
import { Foot, pathOfList, readOn, SearchOn } from "./paged.js";
import { Row } from "./row.js";
import { append, idOf, merge, newestFirst, reveal } from "./rows.js";
import { placeIn, putBack } from "./place.js";
import { Component, createRef, go, html, Skeleton, Trouble } from "./ui.js";
import { zoneName } from "./words.js";

const FILTERS = ["state", "status", "kind", "since", "until", "operation", "resource", "provider", "location", "subscription"];

export const listPath = (query, shown) => pathOfList("operations", FILTERS, query, shown);

const START = { list: null, read: null, next: null, isLoading: false, problem: null };

export class Operations extends Component {
  state = START;
  table = createRef();

  static getDerivedStateFromProps({ live, query }, state) {
    const before = state.query === String(query) ? state : { ...START, query: String(query) };
    if (!live.data || live.data === before.read) return before;
    const rows = newestFirst(live.data.value ?? []);
    const list = merge(before.list, rows, !live.data.nextLink);
    return { ...before, list, read: live.data, next: before.next ?? { page: live.data, path: live.path } };
  }

  getSnapshotBeforeUpdate() { return placeIn(this.table.current); }

  componentDidUpdate(_, __, place) { putBack(this.table.current, place); }

  loadMore = async () => {
    const { query, next, list } = this.state, known = new Set(list.shown.map(idOf));
    const set = change => query === this.state.query && this.setState(change);
    set({ isLoading: true, problem: null });
    try {
      const more = await readOn(next, row => !known.has(idOf(row)));
      const list = append(this.state.list, newestFirst(more.rows));
      set({ list, next: more.next, isLoading: false });
      if (query === this.state.query) this.props.onShown(list.shown.length);
    } catch (problem) { set({ problem, isLoading: false }); }
  };

  reveal = () => {
    this.setState(({ list }) => ({ list: reveal(list) }), () => {
      scrollTo({ top: 0 });
      this.table.current?.querySelector("a.op")?.focus({ preventScroll: true });
    });
  };

  move = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moveAmong([...this.table.current.querySelectorAll("a.op")], event.key)) event.preventDefault();
  };

  render({ live, query, onRetry, onPost, mayWrite }) {
    const { list, next, isLoading, problem } = this.state, shown = list?.shown ?? [];
    return html`<h1 class="vh">Operations</h1>
      <${Attention} summary=${live.summary} />
      <${Filters} query=${query} rows=${shown} />
      <${Trouble} live=${live} onRetry=${onRetry} />
      <div class="new" role="status">${list?.waiting > 0 && html`<button type="button" class="pill" onClick=${this.reveal}>${list.waiting} new</button>`}</div>
      ${!list && !live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}
      ${list && !shown.length && html`<${Empty} query=${query} next=${next} onPost=${onPost} mayWrite=${mayWrite} />`}
      ${shown.length > 0 && html`<table class="ops" ref=${this.table} onKeyDown=${this.move}>
        <caption class="vh">Operations, newest first. In the table, j and k move between rows, Enter opens one.</caption>
        <thead><tr><th scope="col" class="c-status">Status</th><th scope="col" class="c-resource">Resource</th>
          <th scope="col" class="c-id wide">Operation</th><th scope="col" class="c-error wide">Error</th>
          <th scope="col" class="c-polls n wide">Polls</th><th scope="col" class="c-took n">Took</th>
          <th scope="col" class="c-when n wide">Registered, ${zoneName(Date.now())}</th></tr></thead>
        <tbody>${shown.map(op => Row({ op, hasLeft: list.left.has(idOf(op)) }))}</tbody></table>`}
      ${list && html`<${Foot} said=${`${shown.length} shown, newest first${query.get("since") ? "" : ", of the last 30 days"}`}
        next=${next} isLoading=${isLoading} problem=${problem} onMore=${this.loadMore} />`}`;
  }
}

function Empty({ query, next, onPost, mayWrite }) {
  if (nextOf(next.page, next.path)) return SearchOn(next);
  if (query.size) return html`<div class="note" role="status"><p><strong>Nothing matches.</strong></p>
    <p class="chips">${[...query].map(([name, value]) => html`<span class="chip" key=${name}>${name}: ${value}</span>`)}
    <button type="button" onClick=${() => go("operations")}>Clear the filters</button></p></div>`;
  return html`<div class="note" role="status"><p><strong>No operation yet.</strong> Post one to the queue${" "}
    <code>operations</code>${mayWrite ? html`, or <button type="button" onClick=${onPost}>post it here</button>` : ""}.</p>
    <pre tabindex="0" role="region" aria-label="A command that posts">az storage message put --queue-name operations --time-to-live -1 --content "$(cat url)"</pre></div>`;
}
