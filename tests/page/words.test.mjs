// How values are written, and how lists change.
import assert from "node:assert/strict";
import test from "node:test";
import { masked, withoutPaths } from "../../opswatch/dashboard/files/mask.js";
import { append, merge, newestFirst, reveal, searchOf } from "../../opswatch/dashboard/files/rows.js";
import { clock, codesOf, host, lateBy, portalOf, resource, span, utc, zoneName } from "../../opswatch/dashboard/files/words.js";

const NOW = Date.parse("2026-11-25T20:42:03Z");

test("spans", () => {
  const cases = { 0: "0s", 0.4: "<1s", 45: "45s", 60: "1m", 200: "3m 20s", 3600: "1h", 7500: "2h 5m", 86400: "1d", 266400: "3d 2h", 3661: "1h 1m" };
  for (const [seconds, text] of Object.entries(cases)) assert.equal(span(Number(seconds)), text);
  assert.deepEqual([span(NaN), span(undefined), span(null), span(-5)], ["", "", "", "0s"]);
});

test("an instant is local, with its day unless it is today", () => {
  assert.equal(clock("2026-11-25T20:36:50Z", NOW, "Europe/Berlin"), "21:36");
  assert.equal(clock("2026-11-25T20:36:50Z", NOW, "Europe/Berlin", true), "21:36:50");
  assert.equal(clock("2026-11-25T22:36:50Z", NOW, "Asia/Tokyo"), "07:36", "the same local day");
  assert.equal(clock("2026-11-24T20:36:50Z", NOW, "America/New_York"), "24 Nov 15:36");
  assert.equal(clock("2026-11-25T23:00:00Z", NOW, "Europe/Berlin"), "26 Nov 00:00");
  assert.equal(clock("never", NOW), "");
  assert.equal(utc("2026-11-25T20:36:50.123Z"), "2026-11-25 20:36:50 UTC");
  assert.deepEqual(["Europe/Berlin", "UTC", "America/St_Johns"].map(zone => zoneName(NOW, zone)), ["UTC+1", "UTC", "UTC-3:30"]);
});

test("of a callback the host alone is shown", () => {
  assert.equal(host("https://user:secret@hooks.example.com:8443/T/SECRET?x#y"), "hooks.example.com:8443");
  for (const nonsense of ["", "nonsense", null, "javascript:alert(1)"]) assert.equal(host(nonsense), "?");
});

test("a text keeps no path of a URL where a callback may be", () => {
  const text = 'see https://hooks.slack.com/services/T0/B0/SECRET, "http:\\/\\/a.example\\/SECRET" and HTTPS://u:SECRET@b.example?sig=SECRET';
  assert.equal(withoutPaths(text), 'see https://hooks.slack.com/… "http:\\/\\/a.example/…" and HTTPS://b.example/…');
});

test("an answer keeps no query of a URL, and of a callback its host alone", () => {
  const row = {
    callbackUrl: "https://hooks.example.com/T/SECRET", callbacks: ["https://a.example/SECRET"], url: "https://arm.example/subscriptions/s?t=1&s=SECRET",
    callbackOn: { "https://a.example/SECRET": ["Failed"] }, nextLink: "https://x/api?a=b",
    errorJson: { details: [{ message: "PUT https://u:SECRET@blob.example/c?sig=SECRET failed; see https://docs.example/page" }] },
    resultJson: '{"link": "https:\\/\\/x.example\\/y?sig=SECRET"}', lastError: "no answer of /subscriptions/s/x?s=SECRET", polls: 3, clientState: null,
  };
  assert.ok(!JSON.stringify(masked(row)).includes("SECRET"), JSON.stringify(masked(row)));
  assert.deepEqual(masked(row).callbackOn, { "https://a.example": ["Failed"] });
  assert.equal(masked(row).nextLink, row.nextLink);
  assert.equal(masked(row).errorJson.details[0].message, "PUT https://blob.example/c?… failed; see https://docs.example/page");
  assert.deepEqual([masked(row).polls, masked(row).clientState, masked(undefined)], [3, null, undefined]);
});

test("a resource has a name and a group", () => {
  const id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Cache/redisEnterprise/cache-1";
  assert.deepEqual(resource(id), { name: "cache-1", group: "rg" });
  assert.deepEqual(resource(null), { name: "", group: "" });
  assert.equal(portalOf({ resourceId: id, url: "https://management.azure.com/x" }), `https://portal.azure.com/#resource${id}`);
  assert.equal(portalOf({ resourceId: "javascript:alert(1)", url: "https://management.azure.com/x" }), null);
  assert.equal(portalOf({ resourceId: id, url: "http://127.0.0.1:1/x" }), null);
});

test("codes are outermost first, each once", () => {
  assert.deepEqual(codesOf({ errorCode: "A", errorCodeInner: "B" }), ["A", "B"]);
  assert.deepEqual(codesOf({ errorCode: "A", errorCodeInner: "A" }), ["A"]);
});

test("late is what runs and is overdue by more than a minute", () => {
  assert.equal(lateBy({ state: "watching", dueAt: "2026-11-25T20:39:33Z" }, NOW), 150);
  assert.equal(lateBy({ state: "watching", dueAt: "2026-11-25T20:41:33Z" }, NOW), 0);
  assert.equal(lateBy({ state: "finished", dueAt: "2026-11-25T10:00:00Z" }, NOW), 0);
});

const row = (key, minute, more) => ({ subscriptionId: "s", key, registeredAt: `2026-11-25T20:${minute}:00Z`, ...more });
const keysOf = list => list.shown.map(row => row.key).join("");

test("a read changes rows where they are, and new ones wait", () => {
  const first = merge(null, [row("c", 30), row("b", 20), row("a", 10)], true);
  const list = merge(first, [row("d", 40), row("b", 20, { polls: 2 }), row("a", 10)], true);
  assert.equal(keysOf(list), "cba");
  assert.equal(list.shown[1].polls, 2);
  assert.equal(list.waiting, 1);
  assert.deepEqual([...list.left], ["s/c"]);
  assert.equal(keysOf(reveal(list)), "dba");
  assert.equal(reveal(list).waiting, 0);
});

test("rows beyond what was read have not left", () => {
  const list = append(merge(null, [row("d", 40), row("c", 30)], false), [row("c", 30), row("b", 20), row("a", 10)]);
  assert.equal(keysOf(list), "dcba");
  const later = merge(list, [row("e", 50), row("d", 40)], false);
  assert.equal(later.left.size, 0);
  assert.equal(keysOf(reveal(later)), "edcba");
});

test("an empty list shows what comes first at once", () => {
  assert.equal(keysOf(merge(merge(null, [], true), [row("a", 10)], true)), "a");
  assert.equal(newestFirst([row("a", 10), row("b", 20)])[0].key, "b");
});

test("a searched text is an operation or a resource, and never a signed query", () => {
  const guid = "6432a8f9-0fe6-4339-9303-772c92f35d02";
  const url = `https://management.azure.com/subscriptions/s/providers/Microsoft.Cache/locations/westus/operationsStatus/${guid}?api-version=2024-10-01&s=SIGNED`;
  assert.deepEqual(searchOf(url), { operation: guid });
  assert.deepEqual(searchOf(`/subscriptions/s/providers/p/locations/l/asyncOperations/${guid}`), { operation: guid });
  assert.deepEqual(searchOf(` ${guid} `), { operation: guid });
  assert.deepEqual(searchOf("6432a8"), { operation: "6432a8" });
  assert.deepEqual(searchOf("cache-us-7"), { resource: "cache-us-7" });
  assert.deepEqual(searchOf("/subscriptions/s/resourceGroups/g/providers/p/t/n"), { resource: "/subscriptions/s/resourceGroups/g/providers/p/t/n" });
  assert.deepEqual(searchOf("  "), {});
});
