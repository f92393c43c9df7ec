// A list that never jumps: what is shown stays where it is, what is new waits until it is asked for. Pure.
import { instant } from "./words.js";

/** Return the identity of an operation. */
export const idOf = row => `${row.subscriptionId}/${row.key}`;

/** Return rows newest first; what runs is listed in the order of keys. */
export function newestFirst(rows) {
  return [...rows].sort((a, b) => (instant(b.registeredAt) ?? 0) - (instant(a.registeredAt) ?? 0));
}

/** Return the list {shown, fresh, waiting, left} after a read of its beginning.
 *
 * `waiting` counts new rows that are not shown yet; `left` holds the identities of rows that are shown
 * and that the read, which covers their time, has no longer.
 */
export function merge(list, rows, isWhole) {
  const read = new Map(rows.map(row => [idOf(row), row]));
  if (!list || list.shown.length === 0) return { shown: rows, fresh: rows, waiting: 0, left: new Set() };
  const known = new Set(list.shown.map(idOf));
  const oldest = isWhole || rows.length === 0 ? -Infinity : instant(rows.at(-1).registeredAt) ?? Infinity;
  const isCovered = row => isWhole || (instant(row.registeredAt) ?? -Infinity) > oldest;
  return {
    shown: list.shown.map(row => read.get(idOf(row)) ?? row),
    fresh: rows,
    waiting: rows.filter(row => !known.has(idOf(row))).length,
    left: new Set(list.shown.filter(row => !read.has(idOf(row)) && isCovered(row)).map(idOf)),
  };
}

/** Return the list with what was waiting, in the order in which it was read, and without what has left. */
export function reveal(list) {
  const read = new Set(list.fresh.map(idOf));
  const kept = list.shown.filter(row => !read.has(idOf(row)) && !list.left.has(idOf(row)));
  return { shown: [...list.fresh, ...kept], fresh: list.fresh, waiting: 0, left: new Set() };
}

/** Return the list with older rows appended. */
export function append(list, rows) {
  const known = new Set(list.shown.map(idOf));
  return { ...list, shown: [...list.shown, ...rows.filter(row => !known.has(idOf(row)))] };
}

const STATUS_URL = /\/([^/?#]+)\/?(?:[?#].*)?$/;

/** Return the filter that a searched text means: {operation} or {resource}; {} for none.
 *
 * Of a status URL only the operation's ID is kept: its query may be signed, and a filter is part of
 * the page's address.
 */
export function searchOf(text) {
  const wanted = text.trim();
  if (!wanted) return {};
  if (/^https?:/i.test(wanted) || /\/(operation|async)[^/]*\/[^/]+\/?$/i.test(wanted.split("?")[0])) {
    const id = STATUS_URL.exec(wanted.split(/[?#]/)[0])?.[1];
    try { return id ? { operation: decodeURIComponent(id) } : {}; } catch { return { operation: id }; }
  }
  return /^[0-9a-f]{4,8}(-[0-9a-f-]*)?$/i.test(wanted) ? { operation: wanted } : { resource: wanted.split(/[?#]/)[0] };
}
