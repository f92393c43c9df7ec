// The pure modules of the page: run by `node --test`, without a browser.
import assert from "node:assert/strict";
import test from "node:test";
import { attemptsOf, axisOf, lifeOf, pollsOf, storyOf, ticksOf } from "../../opswatch/dashboard/files/life.js";

const T0 = Date.parse("2026-11-23T03:00:00Z");
const iso = seconds => new Date(T0 + seconds * 1000).toISOString();

const FAILED = {
  state: "finished", status: "Failed", registeredAt: iso(2), startTime: iso(0), endTime: iso(480), finishedAt: iso(495),
  polls: 6, misses: 1, pollLog: [[3, "InProgress"], [58, "x", 429], [100, "o", 200, 3], [493, "Failed"]],
  deliveries: [{ deliveryId: "msg_1", callbackUrl: "https://hooks.example.com/T/SECRET?code=SECRET", state: "delivered", attempts: 2,
    attemptLog: [{ at: iso(496), statusCode: 503 }, { at: iso(90000), statusCode: 204 }] }],
};
const RUNNING = {
  state: "watching", status: "InProgress", registeredAt: iso(2), startTime: iso(0), dueAt: iso(130), deadlineAt: iso(86400),
  expectedEndAt: iso(360), expectedEndEarliestAt: iso(300), expectedEndLatestAt: iso(480), pollLog: [[3, "InProgress"]], deliveries: [],
};
const WIDTHS = [290, 320, 390, 559, 560, 800, 1280, 2500];

function numbersOf(life) {
  const points = [...life.polls, ...life.attempts, ...life.nexts, ...life.ticks].map(shape => shape.x);
  const spans = [life.bar, life.lag].filter(Boolean).flatMap(({ x, width }) => [x, x + width]);
  return [...points, ...spans, life.split, ...[life.now, life.due, life.born, life.expected?.from, life.expected?.to].filter(x => x != null)];
}

test("a day of retries does not squeeze eight minutes of operation", () => {
  const life = lifeOf(FAILED, 1200, T0);
  assert.ok(life.breakAt > 0);
  assert.ok(life.bar.width > 500, life.bar.width);
});

test("all that is drawn lies within the drawing, at every width and instant", () => {
  for (const width of WIDTHS) for (const op of [FAILED, RUNNING]) for (const now of [-5, 0, 2, 130, 359, 5000, 9e6]) {
    const life = lifeOf(op, width, T0 + now * 1000);
    for (const x of numbersOf(life)) assert.ok(Number.isFinite(x) && x >= 0 && x <= width, `${x} of ${width} at ${now}`);
    assert.ok(life.bar.width > 0);
  }
});

test("time runs one way, across the break too", () => {
  const { x } = axisOf(T0, T0 + 480e3, T0 + 90000e3, 100, 1000);
  let last = -1;
  for (let t = 0; t <= 90000; t += 30) {
    assert.ok(x(T0 + t * 1000) >= last);
    last = x(T0 + t * 1000);
  }
  assert.equal(last, 1000);
});

test("attempts of the whole schedule stay apart", () => {
  const after = [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400].map(gap => gap);
  let at = 495;
  const attemptLog = after.map(gap => ({ at: iso(at += gap + 1), statusCode: 503 }));
  const xs = lifeOf({ ...FAILED, deliveries: [{ ...FAILED.deliveries[0], attemptLog }] }, 1200, T0).attempts.map(a => a.x);
  for (let i = 1; i < xs.length; i++) assert.ok(xs[i] - xs[i - 1] > 4, `${i}: ${xs}`);
});

test("ticks are round, and have room for their labels", () => {
  for (const seconds of [1, 45, 500, 7200, 90000, 3e6, 2e8]) {
    const ticks = ticksOf({ from: 0, to: seconds * 1000, left: 0, right: 800, isLog: false });
    for (let i = 1; i < ticks.length; i++) assert.ok(ticks[i].x - ticks[i - 1].x >= 70, `${seconds}: ${JSON.stringify(ticks)}`);
    assert.equal(ticks[0].label, "0s");
  }
  const labels = ticksOf({ from: 0, to: 90000e3, left: 0, right: 500, isLog: true }).map(tick => tick.label);
  assert.deepEqual(labels.slice(0, 2), ["+5s", "+1m"]);
});

test("the lag is the gap between ARM's end and our seeing it", () => {
  assert.equal(lifeOf(FAILED, 1200, T0).lag.seconds, 15);
  assert.equal(lifeOf({ ...FAILED, endTime: iso(600) }, 1200, T0).lag, null, "an end in the future is no negative lag");
});

test("the log of polls is read as it is kept", () => {
  assert.deepEqual(pollsOf(FAILED).map(({ word, isMiss, code, count }) => [word, isMiss, code, count]),
    [["InProgress", false, null, 1], ["missed", true, 429, 1], ["InProgress", false, 200, 3], ["Failed", false, null, 1]]);
  for (const pollLog of [undefined, null, "cut [[3", [null, 7, ["x"], [{}]]]) assert.deepEqual(pollsOf({ ...FAILED, pollLog }), []);
});

test("an attempt without an answer says why", () => {
  const log = [{ at: iso(1), error: "timed out" }, { at: iso(2) }, { at: "nonsense", statusCode: 200 }];
  const attempts = attemptsOf({ deliveries: [{ attemptLog: log }] });
  assert.deepEqual(attempts.map(a => [a.answer, a.isAccepted]), [["timed out", false], ["no answer", false]]);
});

test("a running operation has a now, an expected end, and a deadline once it is near", () => {
  const life = lifeOf(RUNNING, 1000, T0 + 120e3);
  assert.ok(life.bar.x + life.bar.width - life.now < 0.5 && life.now < life.due && life.due < life.expected.x);
  assert.equal(life.deadline, null);
  assert.ok(lifeOf({ ...RUNNING, deadlineAt: iso(400) }, 1000, T0 + 120e3).deadline.x > life.now);
});

test("the story is the same life in order, and names no callback's path", () => {
  const story = storyOf(FAILED);
  assert.deepEqual(story.map(row => row.what),
    ["began", "registered", "poll", "missed poll", "poll", "ended", "poll", "end seen", "attempt", "attempt"]);
  assert.ok(!JSON.stringify([story, lifeOf(FAILED, 900, T0)]).includes("SECRET"));
  assert.deepEqual(storyOf(RUNNING).slice(-3).map(row => row.what), ["next poll", "expected end", "deadline"]);
});

test("the oddest rows are drawn, too", () => {
  for (const op of [{}, { state: "watching" }, { state: "finished", registeredAt: "x", pollLog: {} },
    { ...FAILED, startTime: iso(9e6), deliveries: [{ callbackUrl: "nonsense", attemptLog: null }] }]) {
    for (const x of numbersOf(lifeOf(op, 500, T0))) assert.ok(Number.isFinite(x) && x >= 0 && x <= 500);
    storyOf(op);
  }
});
