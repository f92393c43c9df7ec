// The list of operations: what is wrong, what runs and how far, and any one of them.
import { call, nextOf } from "./api.js";
import { Attention } from "./attention.js";
import { Filters } from "./filters.js";
import { Foot, pathOfList, SearchOn } from "./paged.js";
import { Row } from "./row.js";
import { append, idOf, merge, newestFirst, reveal } from "./rows.js";
import { placeIn, putBack } from "./place.js";
import { Component, createRef, go, html, Skeleton, Trouble } from "./ui.js";
import { zoneName } from "./words.js";

const FILTERS = ["state", "status", "kind", "since", "until", "operation", "resource", "provider", "location", "subscription"];

export const listPath = (query, shown) => pathOfList("operations", FILTERS, query, shown);

export class Operations extends Component {
  state = { list: null, read: null, next: null, isLoading: false, problem: null };
  table = createRef();

  static getDerivedStateFromProps({ live }, state) {
    if (!live.data || live.data === state.read) return null;
    const rows = newestFirst(live.data.value ?? []);
    const list = merge(state.list, rows, !live.data.nextLink);
    return { list, read: live.data, next: state.next ?? { page: live.data, path: live.path } };
  }

  getSnapshotBeforeUpdate() { return placeIn(this.table.current); }

  componentDidUpdate(_, __, place) { putBack(this.table.current, place); }

  loadMore = async () => {
    const { page, path } = this.state.next;
    this.setState({ isLoading: true, problem: null });
    try {
      const more = await call(nextOf(page, path));
      const list = append(this.state.list, newestFirst(more.value));
      this.setState({ list, next: { page: more, path }, isLoading: false });
      this.props.onShown(list.shown.length);
    } catch (problem) { this.setState({ problem, isLoading: false }); }
  };

  reveal = () => {
    this.setState(({ list }) => ({ list: reveal(list) }), () => {
      scrollTo({ top: 0 });
      this.table.current?.querySelector("a.op")?.focus({ preventScroll: true });
    });
  };

  move = event => {
    const links = [...this.table.current.querySelectorAll("a.op")];
    const at = links.findIndex(link => link.closest("tr").contains(document.activeElement));
    const to = { j: at + 1, ArrowDown: at + 1, k: at - 1, ArrowUp: at - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    links[Math.max(0, Math.min(links.length - 1, to))]?.focus();
  };

  render({ live, query, onRetry, onPost, mayWrite }) {
    const { list, next, isLoading, problem } = this.state, shown = list?.shown ?? [];
    return html`<h1 class="vh">Operations</h1>
      <${Attention} summary=${live.summary} />
      <${Filters} query=${query} rows=${shown} />
      <${Trouble} live=${live} onRetry=${onRetry} />
      <div class="new" role="status">${list?.waiting > 0 && html`<button type="button" class="pill" onClick=${this.reveal}>${list.waiting} new</button>`}</div>
      ${!list && !live.error && html`<${Skeleton} isSlow=${live.isSlow} />`}
      ${list && !shown.length && html`<${Empty} query=${query} next=${nextOf(next.page, next.path)} onPost=${onPost} mayWrite=${mayWrite} />`}
      ${shown.length > 0 && html`<table class="ops" ref=${this.table} onKeyDown=${this.move}>
        <caption class="vh">Operations, newest first. In the table, j and k move between rows, Enter opens one.</caption>
        <thead><tr><th scope="col" class="c-status">Status</th><th scope="col" class="c-resource">Resource</th>
          <th scope="col" class="c-id wide">Operation</th><th scope="col" class="c-error wide">Error</th>
          <th scope="col" class="c-polls n wide">Polls</th><th scope="col" class="c-took n">Took</th>
          <th scope="col" class="c-when n wide">Registered, ${zoneName(Date.now())}</th></tr></thead>
        <tbody>${shown.map(op => Row({ op, hasLeft: list.left.has(idOf(op)) }))}</tbody></table>`}
      ${list && html`<${Foot} said=${`${shown.length} shown, newest first${query.get("since") ? "" : ", of the last 30 days"}`}
        next=${nextOf(next.page, next.path)} isLoading=${isLoading} problem=${problem} onMore=${this.loadMore} />`}`;
  }
}

function Empty({ query, next, onPost, mayWrite }) {
  if (next) return SearchOn();
  if (query.size) return html`<div class="note" role="status"><p><strong>Nothing matches.</strong></p>
    <p class="chips">${[...query].map(([name, value]) => html`<span class="chip" key=${name}>${name}: ${value}</span>`)}
    <button type="button" onClick=${() => go("operations")}>Clear the filters</button></p></div>`;
  return html`<div class="note" role="status"><p><strong>No operation yet.</strong> Post one to the queue${" "}
    <code>operations</code>${mayWrite ? html`, or <button type="button" onClick=${onPost}>post it here</button>` : ""}.</p>
    <pre tabindex="0" role="region" aria-label="A command that posts">az storage message put --queue-name operations --time-to-live -1 --content "$(cat url)"</pre></div>`;
}
