// Lists that go on: what a read of their beginning leaves of what was loaded.
import assert from "node:assert/strict";
import test from "node:test";
import { pathOfList, readOn, reread, searchedTo } from "../../opswatch/dashboard/files/paged.js";

globalThis.location = { href: "https://x.example/api/dashboard" };
const id = row => row.id, rows = (from, to) => Array.from({ length: to - from }, (_, i) => ({ id: from + i }));
const ids = state => state.rows.map(id);
const START = { rows: [], read: null, next: null };
const page = (value, token) => ({ value, ...(token && { nextLink: `https://x.example/api/rejections?continuation=${token}` }) });

test("the first read is shown, and goes on where it ends", () => {
  const first = page(rows(0, 3), "a"), state = reread(START, first, "rejections", id);
  assert.deepEqual(ids(state), [0, 1, 2]);
  assert.deepEqual(state.next, { page: first, path: "rejections" });
});

test("a read of all that is shown replaces it", () => {
  const state = { rows: rows(0, 4), read: null, next: "before" };
  const short = reread(state, page([{ id: 9 }, { id: 1 }]), "rejections", id);
  assert.deepEqual(ids(short), [9, 1], "there is no more");
  const long = page(rows(-1, 4), "b");
  assert.deepEqual([ids(reread(state, long, "p", id)), reread(state, long, "p", id).next.page], [[-1, 0, 1, 2, 3], long]);
});

test("what was loaded after a shorter read stays, and so does where it goes on", () => {
  const state = { rows: rows(0, 6), read: null, next: "deep" };
  const fresh = reread(state, page([{ id: 9 }, { id: 0 }, { id: 1 }], "a"), "p", id);
  assert.deepEqual([ids(fresh), fresh.next], [[9, 0, 1, 2, 3, 4, 5], "deep"], "a new row pushes none out");
  const settled = reread(state, page([{ id: 1 }, { id: 2 }, { id: 4 }], "a"), "p", id);
  assert.deepEqual(ids(settled), [1, 2, 4, 5], "what has left is gone");
});

test("a search that has found nothing yet goes on where it was", () => {
  const state = { rows: [], read: null, next: "deep" };
  assert.equal(reread(state, page([], "a"), "p", id).next, "deep");
  assert.notEqual(reread(state, page([{ id: 1 }], "a"), "p", id).next, "deep");
});

test("what was searched to its end without a find is not searched again", () => {
  const read = page(rows(0, 2), "a"), next = { page: page([]), path: "rejections", isEmpty: true };
  const state = { rows: rows(0, 2), read, next };
  assert.equal(reread(state, page(rows(-1, 2), "b"), "rejections", id).next, next);
  const full = page(rows(-200, -100), "c");
  assert.equal(reread(state, full, "rejections", id).next.page, full, "rows may be missing between the two");
});

test("empty pages are read on, five for a click", async () => {
  const get = async path => { asked.push(path); return answers.shift(); };
  let asked = [], answers = [page([], "b"), page([{ id: 1 }], "c"), page([{ id: 2 }], "d")];
  const found = await readOn({ page: page([], "a"), path: "rejections" }, row => row.id > 1, get);
  assert.deepEqual([found.rows.map(id), found.next.isEmpty, asked.length], [[1, 2], false, 3], "a known row is no find");
  assert.equal(asked[0], "rejections?continuation=a");
  [asked, answers] = [[], Array.from({ length: 9 }, (_, i) => page([], `n${i}`))];
  const none = await readOn({ page: page([], "a"), path: "rejections" }, () => true, get);
  assert.deepEqual([asked.length, none.next.isEmpty, none.next.page.nextLink.at(-1)], [5, true, "4"]);
});

test("how far a list was searched is a date, if it has one", () => {
  const dateOf = token => searchedTo(page([], token), "rejections");
  assert.deepEqual(["settled.2026-11-20.", "2026-11-20.123~x", "pending.2026-11-20", "1!48!abc", undefined].map(dateOf),
    ["2026-11-20", "2026-11-20", "", "", ""]);
});

test("a list asks for as much as is shown, by the filters that it knows", () => {
  const query = new URLSearchParams("reason=NotJson&odd=1&since=");
  assert.equal(pathOfList("rejections", ["reason", "since"], query), "rejections?reason=NotJson&maxpagesize=100");
  assert.match(pathOfList("rejections", [], query, 230), /=300$/);
  assert.match(pathOfList("rejections", [], query, 2300), /=1000$/);
});
