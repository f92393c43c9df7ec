// Lists that go on: what a read of their beginning leaves of what was loaded.
import assert from "node:assert/strict";
import test from "node:test";
import { pathOfList, reread } from "../../opswatch/dashboard/files/paged.js";

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

test("a list asks for as much as is shown, by the filters that it knows", () => {
  const query = new URLSearchParams("reason=NotJson&odd=1&since=");
  assert.equal(pathOfList("rejections", ["reason", "since"], query), "rejections?reason=NotJson&maxpagesize=100");
  assert.match(pathOfList("rejections", [], query, 230), /=300$/);
  assert.match(pathOfList("rejections", [], query, 2300), /=1000$/);
});
