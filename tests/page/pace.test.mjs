// When what is shown is read again.
import assert from "node:assert/strict";
import test from "node:test";
import { waitOf } from "../../opswatch/dashboard/files/pace.js";

const NOW = Date.parse("2026-11-25T20:42:03Z"), iso = seconds => new Date(NOW + seconds * 1000).toISOString();
const waits = (data, dueReads = 0) => waitOf(data, NOW, dueReads).wait / 1000;
const owing = (nextAttemptAt, state = "pending") => ({ state: "finished", deliveries: [{ state, nextAttemptAt }] });

test("what runs is read often, what has ended seldom", () => {
  assert.deepEqual([waits({ state: "watching" }), waits({ state: "finished" }), waits(null), waits({ value: [] })], [10, 60, 60, 60]);
  assert.equal(waits({ value: [{ state: "finished" }, { state: "watching" }] }), 10);
});

test("a pending delivery is read when its attempt is due, and quickly after that", () => {
  assert.deepEqual([waits(owing(iso(20))), waits(owing(iso(300)))], [22, 60]);
  assert.deepEqual([0, 1, 2, 3, 50].map(reads => waits(owing(iso(-5)), reads)), [2, 4, 8, 10, 10]);
  assert.deepEqual([owing(iso(-5)), owing(iso(5))].map(op => waitOf(op, NOW, 0).isDue), [true, false]);
});

test("so is a list of deliveries; settled ones are due for nothing", () => {
  assert.equal(waits({ value: [{ state: "pending", nextAttemptAt: iso(-1) }] }), 2);
  assert.deepEqual([waits(owing(iso(-5), "abandoned")), waits(owing(null)), waits({ value: [{ state: "delivered" }] })], [60, 60, 60]);
});
