// Calls the API of the app that served this page. The keys stay in this tab and leave it as a header only.
import { masked } from "./mask.js";

const PATH = "/api/"; // the route prefix
const NAMES = { read: "opswatch-read-key", write: "opswatch-write-key" };
const KEPT = 40; // answers with a tag

/** The keys of this tab: a viewer's, and an operator's where it is another one. */
export const keys = {
  get: use => sessionStorage.getItem(NAMES[use]) ?? (use === "write" ? sessionStorage.getItem(NAMES.read) : null),
  has: use => sessionStorage.getItem(NAMES[use]) !== null,
  set: (use, key) => sessionStorage.setItem(NAMES[use], key),
  forget: () => { Object.values(NAMES).forEach(name => sessionStorage.removeItem(name)); answers.clear(); },
};

const answers = new Map(); // path -> {etag, body}: a 304 costs no body, and what is shown stays the same value

/** An answer that is no success; status 0 if there was none. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body?.error?.message ?? body?.detail ?? body?.title ?? (status ? "" : "There was no answer."));
    Object.assign(this, { status, code: body?.error?.code ?? body?.code ?? "", retryAfter });
  }
}

/** Call `path` under the API's prefix and return its JSON; throw a `Problem`, or an AbortError. */
export async function call(path, { method = "GET", body, signal } = {}) {
  const isRead = method === "GET", key = keys.get(isRead ? "read" : "write");
  const known = isRead ? answers.get(path) : undefined;
  const headers = { accept: "application/json" };
  if (key) headers["x-functions-key"] = key;
  if (known) headers["if-none-match"] = known.etag;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(PATH + path, {
    method, headers, body, signal, cache: "no-store", credentials: "omit", redirect: "error",
    referrerPolicy: "no-referrer",
  }).catch(error => { throw error.name === "AbortError" ? error : new Problem(0); });
  if (answer.status === 304 && known) return known.body;
  const text = await answer.text();
  const read = masked(jsonOf(text));
  const seconds = Number(answer.headers.get("retry-after"));
  const isReport = Array.isArray(read?.checks); // of health: with 503 when something is wrong
  if ((!answer.ok && !isReport) || (read === undefined && text)) throw new Problem(answer.status, read, seconds);
  const etag = answer.headers.get("etag");
  if (isRead && etag) {
    answers.delete(path);
    answers.set(path, { etag, body: read });
    if (answers.size > KEPT) answers.delete(answers.keys().next().value);
  }
  return read;
}

function jsonOf(text) {
  try { return JSON.parse(text); } catch { return undefined; } // a proxy's page: its status says enough
}

/** Return whether this tab may change anything: OPTIONS changes nothing, and needs an operator's key. */
export async function mayWrite() {
  if (!keys.get("write")) return true; // what reads without a key, as `opswatch dev` does, writes without one
  try {
    await call("operations", { method: "OPTIONS" });
    return true;
  } catch (problem) {
    return ![0, 401, 403].includes(problem.status);
  }
}

/** Return the path of the next page: of an absolute link only its query is followed. */
export function nextOf(page, path) {
  if (!page?.nextLink) return null;
  try { return path.split("?")[0] + new URL(page.nextLink, location.href).search; } catch { return null; }
}

/** Return the path of an operation. */
export const pathOf = row => `operations/${[row.subscriptionId, row.operationKey ?? row.key].map(encodeURIComponent).join("/")}`;
