// What may be secret is cut before any view has it: paths of callbacks, and queries of all URLs. Pure.
import { host } from "./words.js";

const URLS = /\b(https?:(?:\\?\/){2})([^\s"'<>\\?#]*)((?:\\?\/[^\s"'<>\\?#]*)*)([?#][^\s"'<>]*)?/gi;
const PATHS = /(\/(?:subscriptions|providers)\/[^\s"'<>?]{0,4000})\?[^\s"'<>]+/gi;
const CALLBACKS = new Set(["callbackUrl", "callbacks"]);
const ANSWERS = new Set(["lastError", "error"]); // of attempts: they may quote the callback
const WHOLE = new Set(["nextLink", "body"]); // followed, and posted again: never shown as they are

/** Return a text in which each URL has lost its query and its user; `?…` says so. */
export function withoutQueries(text) {
  return text.replace(URLS, (_, scheme, authority, path, query) => scheme + authority.replace(/^[^/]*@/, "") + path + (query ? "?…" : ""))
    .replace(PATHS, "$1?…");
}

/** Return a text in which each URL ends at its host: for what others have posted, callbacks among it. */
export function withoutPaths(text) {
  return text.replace(/\b(https?:(?:\\?\/){2})([^\s"'<>]*)/gi, (_, scheme, rest) => {
    const end = rest.search(/[\\/?#]/), authority = (end < 0 ? rest : rest.slice(0, end)).replace(/^.*@/, "");
    return scheme + authority + (end < 0 ? "" : "/…");
  }).replace(PATHS, "$1?…");
}

/** Return an answer of the API, of which callbacks keep their host and other URLs lose their query. */
export function masked(value, name = "") {
  if (typeof value === "string") {
    if (WHOLE.has(name)) return value;
    if (CALLBACKS.has(name)) return `https://${host(value)}`;
    return ANSWERS.has(name) ? withoutPaths(value) : withoutQueries(value);
  }
  if (Array.isArray(value)) return value.map(item => masked(item, name));
  if (value === null || typeof value !== "object") return value;
  if (name === "callbackOn") return Object.fromEntries(Object.entries(value).map(([url, ends]) => [`https://${host(url)}`, ends]));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, masked(item, key)]));
}
