// Lists that go on: how much of them is read, what is shown of them, and where they go on.
import { call, nextOf } from "./api.js";
import { Component, html } from "./ui.js";

const PAGE = 100, MOST = 1000; // rows of a read

/** Return the path of a list: those of `names` that `query` has, and room for `shown` rows. */
export function pathOfList(list, names, query, shown = 0) {
  const wanted = new URLSearchParams();
  for (const name of names) if (query.get(name)) wanted.set(name, query.get(name));
  wanted.set("maxpagesize", Math.min(MOST, Math.max(PAGE, Math.ceil(shown / PAGE) * PAGE)));
  return `${list}?${wanted}`;
}

/** The end of a list: what is shown, and a button that reads on. */
export const Foot = ({ said, next, isLoading, problem, onMore }) => html`<p class="foot"><span role="status">${said}</span>
  ${next && html`<button type="button" disabled=${isLoading} onClick=${onMore}>${isLoading ? "Loading…" : "Load more"}</button>`}
  ${problem && html`<span class="bad" role="alert">Not loaded: ${problem.message}</span>`}</p>`;

export const SearchOn = () => html`<div class="note" role="status">
  <p>Nothing that matches among what was searched so far. <strong>Load more</strong> searches on.</p></div>`;

/** Return the state {rows, read, next} of a list after a read of its beginning, `page`.
 *
 * A read with room for all that is shown replaces it; of a shorter one, the rows that were loaded
 * after it stay, and the list goes on where they end.
 */
export function reread(state, page, path, idOf) {
  const first = page.value ?? [], known = new Set(first.map(idOf));
  const last = first.length ? state.rows.findLastIndex(row => idOf(row) === idOf(first.at(-1))) + 1 || first.length : 0;
  const rest = page.nextLink ? state.rows.slice(last).filter(row => !known.has(idOf(row))) : [];
  const next = rest.length || (state.next && !first.length && page.nextLink) ? state.next : { page, path };
  return { rows: [...first, ...rest], read: page, next };
}

/** A list without an order to keep: `show` draws its rows and its foot. `idOf` says which row is which. */
export class Paged extends Component {
  state = { rows: [], read: null, next: null, isLoading: false, problem: null };

  static getDerivedStateFromProps({ live, idOf }, state) {
    return live.data && live.data !== state.read ? reread(state, live.data, live.path, idOf) : null;
  }

  loadMore = async () => {
    const { page, path } = this.state.next, { idOf, onShown } = this.props;
    this.setState({ isLoading: true, problem: null });
    try {
      const more = await call(nextOf(page, path));
      const known = new Set(this.state.rows.map(idOf)), rows = [...this.state.rows, ...more.value.filter(row => !known.has(idOf(row)))];
      this.setState({ rows, next: { page: more, path }, isLoading: false });
      onShown(rows.length);
    } catch (problem) { this.setState({ problem, isLoading: false }); }
  };

  render({ show, order = "" }, { rows, next, isLoading, problem }) {
    const link = next && nextOf(next.page, next.path);
    return show(rows, link && !rows.length, (rows.length > 0 || link) && html`<${Foot} said=${`${rows.length} shown${order}`} next=${link}
      isLoading=${isLoading} problem=${problem} onMore=${this.loadMore} />`);
  }
}
