// How values are written for people: spans, instants, names. Pure: the zone and "now" are arguments.
const HOUR = 3600, DAY = 24 * HOUR;

/** Return seconds as people write them: 45s, 3m 20s, 2h 5m, 3d 4h; "" for what is no number. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(whole / DAY), "d"], [Math.floor(whole % DAY / HOUR), "h"],
    [Math.floor(whole % HOUR / 60), "m"], [whole % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return seconds > 0 ? "<1s" : "0s";
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => count + unit).join(" ");
}

/** Return a count with its noun: 1 poll, 2 polls. */
export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Return the milliseconds of an instant in ISO 8601; null for anything else. */
export function instant(text) {
  const at = typeof text === "string" ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? null : at;
}

/** Return an instant as its local clock time, with the day unless it is today's. */
export function clock(text, now, zone, hasSeconds = false) {
  const at = instant(text);
  if (at === null) return "";
  const day = ms => new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(ms);
  const time = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, hour: "2-digit", minute: "2-digit", second: hasSeconds ? "2-digit" : undefined,
  }).format(at);
  if (day(at) === day(now)) return time;
  const date = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short" }).format(at);
  return `${date} ${time}`;
}

/** Return a date of the calendar, such as 2026-11-20, as people write it: 20 Nov. */
export const dayOf = date => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" }).format(instant(date));

/** Return an instant in UTC, whole: what a title says. */
export function utc(text) {
  const at = instant(text);
  return at === null ? "" : `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** Return the name of a zone at an instant: UTC, UTC+1, UTC-3:30. */
export function zoneName(now, zone) {
  const parts = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "shortOffset" }).formatToParts(now);
  return parts.find(part => part.type === "timeZoneName").value.replace("GMT", "UTC").replace(/\+0$/, "");
}

/** Return the host of a callback. Its path and query may be secrets (Slack, Teams, Logic Apps). */
export function host(url) {
  try { return new URL(url).host || "?"; } catch { return "?"; }
}

/** Return the parts of a resource's ID that people know it by. */
export function resource(id) {
  const parts = (id ?? "").split("/").filter(Boolean);
  const group = parts.findIndex(part => part.toLowerCase() === "resourcegroups");
  return { name: parts.at(-1) ?? "", group: group < 0 ? "" : parts[group + 1] ?? "" };
}

/** Return an ID cut in its middle: the two ends tell GUIDs apart. */
export function shortId(id) {
  return id.length > 13 ? `${id.slice(0, 4)}…${id.slice(-4)}` : id;
}

/** Return what an operation is called in a list: its resource, or else its ID. */
export function nameOf(op) {
  return resource(op.resourceId).name || op.operationId || op.key || "?";
}

const PORTALS = {
  "management.azure.com": "portal.azure.com", "management.usgovcloudapi.net": "portal.azure.us",
  "management.chinacloudapi.cn": "portal.azure.cn",
};

/** Return the address of an operation's resource in the portal of its cloud; null if there is none. */
export function portalOf(op) {
  const portal = PORTALS[host(op.url)];
  return portal && /^\/subscriptions\//i.test(op.resourceId ?? "") ? `https://${portal}/#resource${encodeURI(op.resourceId)}` : null;
}

/** Return the kind of an operation, or what it is learned with instead. */
export function kindOf(op) {
  return op.kind || [op.provider, op.collection].filter(Boolean).join("/");
}

const LOOKS = { Succeeded: "ok", Failed: "bad", TimedOut: "odd", Lost: "odd", Canceled: "off", Stopped: "off" };

/** Return the look of an operation's status: its colour and its sign. */
export function lookOf(op) {
  return op.state === "watching" ? "run" : LOOKS[op.status] ?? "odd";
}

/** Return the codes of an error, outermost first; the innermost is the one that people need. */
export function codesOf(op) {
  return [...new Set([op.errorCode, op.errorCodeInner].filter(Boolean))];
}

const LATE = 60_000; // a wake-up may be this late before the list says so: the repair comes each minute

/** Return by how many seconds the next poll of a watch is overdue; 0 while it is not. */
export function lateBy(op, now) {
  const due = op.state === "watching" ? instant(op.dueAt) : null;
  return due !== null && now - due > LATE ? (now - due) / 1000 : 0;
}
