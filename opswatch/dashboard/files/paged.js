// Lists that go on: how much of them is read, what is shown of them, and where they go on.
import { call, nextOf } from "./api.js";
import { Component, html } from "./ui.js";
import { dayOf } from "./words.js";

const PAGE = 100, MOST = 1000; // rows of a read
const MOST_PAGES = 5; // that one click reads, if they have nothing new

/** Return the path of a list: those of `names` that `query` has, and room for `shown` rows. */
export function pathOfList(list, names, query, shown = 0) {
  const wanted = new URLSearchParams();
  for (const name of names) if (query.get(name)) wanted.set(name, query.get(name));
  wanted.set("maxpagesize", Math.min(MOST, Math.max(PAGE, Math.ceil(shown / PAGE) * PAGE)));
  return `${list}?${wanted}`;
}

/** Read on from {page, path} through pages without a row that `isNew`; return {rows, next}. */
export async function readOn({ page, path }, isNew, get = call) {
  const rows = [];
  let isEmpty = true;
  for (let count = 0; count < MOST_PAGES && isEmpty && nextOf(page, path); count += 1) {
    page = await get(nextOf(page, path));
    rows.push(...page.value);
    isEmpty = !page.value.some(isNew);
  }
  return { rows, next: { page, path, isEmpty } };
}

// The API goes on at a date, in UTC; the list of operations that run has none.
const DATE = /^(?:settled\.)?(\d{4}-\d\d-\d\d)\./;

/** Return the date at which a list goes on; "" if it ends here, or is not in the order of time. */
export function searchedTo(page, path) {
  const query = nextOf(page, path)?.split("?")[1];
  return DATE.exec(new URLSearchParams(query).get("continuation") ?? "")?.[1] ?? "";
}

/** The end of a list: what is shown, how far it was searched, and a button that reads on. */
export function Foot({ said, next: { page, path, isEmpty }, isLoading, problem, onMore }) {
  const next = nextOf(page, path), date = isEmpty ? searchedTo(page, path) : "";
  return html`<p class="foot"><span role="status">${said}${date && ` · searched back to ${dayOf(date)}`}</span>
  ${next && html`<button type="button" disabled=${isLoading} onClick=${onMore}>${isLoading ? "Loading…" : "Load more"}</button>`}
  ${problem && html`<span class="bad" role="alert">Not loaded: ${problem.message}</span>`}</p>`;
}

export function SearchOn({ page, path }) {
  const date = searchedTo(page, path);
  return html`<div class="note" role="status"><p>Nothing that matches among what was searched so far${
    date && `, back to ${dayOf(date)}`}. <strong>Load more</strong> searches on.</p></div>`;
}

/** Return the state {rows, read, next} of a list after a read of its beginning, `page`.
 *
 * A read with room for all that is shown replaces it; of a shorter one, the rows that were loaded
 * after it stay, and the list goes on where they end. What was searched without a find, after all that
 * is shown, is not searched again.
 */
export function reread(state, page, path, idOf) {
  const first = page.value ?? [], known = new Set(first.map(idOf));
  const last = first.length ? state.rows.findLastIndex(row => idOf(row) === idOf(first.at(-1))) + 1 || first.length : 0;
  const rest = page.nextLink ? state.rows.slice(last).filter(row => !known.has(idOf(row))) : [];
  const isSearched = first.length ? state.next?.isEmpty && state.rows.length > 0 && known.has(idOf(state.rows.at(-1))) : state.next;
  const next = rest.length || (isSearched && page.nextLink) ? state.next : { page, path };
  return { rows: [...first, ...rest], read: page, next };
}

const START = { rows: [], read: null, next: null, isLoading: false, problem: null };

/** A list without an order to keep: `show` draws its rows and its foot. `idOf` says which row is which. */
export class Paged extends Component {
  state = START;

  static getDerivedStateFromProps({ live, idOf, query }, state) {
    const before = state.query === String(query) ? state : { ...START, query: String(query) };
    return live.data && live.data !== before.read ? { ...before, ...reread(before, live.data, live.path, idOf) } : before;
  }

  loadMore = async () => {
    const { idOf, onShown } = this.props, { query } = this.state, known = new Set(this.state.rows.map(idOf));
    const isNew = row => !known.has(idOf(row)), set = change => query === this.state.query && this.setState(change);
    set({ isLoading: true, problem: null });
    try {
      const more = await readOn(this.state.next, isNew);
      const rows = [...this.state.rows, ...more.rows.filter(isNew)];
      set({ rows, next: more.next, isLoading: false });
      if (query === this.state.query) onShown(rows.length);
    } catch (problem) { set({ problem, isLoading: false }); }
  };

  render({ show, order = "" }, { rows, next, isLoading, problem }) {
    const link = next && nextOf(next.page, next.path);
    return show(rows, link && !rows.length && next, (rows.length > 0 || link) && html`<${Foot} said=${`${rows.length} shown${order}`} next=${next}
      isLoading=${isLoading} problem=${problem} onMore=${this.loadMore} />`);
  }
}
