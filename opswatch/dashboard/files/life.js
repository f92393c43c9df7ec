// The life of one operation as plain numbers and words: pure, so that node tests it without a browser.
import { host, instant, span } from "./words.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 604800];
const TAIL_STEPS = [5, 60, 300, 1800, 7200, 18000, 43200, 86400, 259200, 604800];
const OUTLIVES = 3; // times as long as the operation: then its deliveries get an axis of their own
const HEAD_SHARE = 0.62, GAP = 20, TICK_SPACE = 78, TAIL_SPACE = 46;
const NARROW = 560; // below it, the names of the lanes stand above them
const LABELS = 152, MARGIN = 14;

/** Return an axis from `from` to `to` (ms) within [left, right] (px): its pieces, and x of an instant.
 *
 * The schedule of deliveries goes from 0 s to 24 h, so what follows `split` gets a piece with a
 * logarithmic scale if it would squeeze the operation itself.
 */
export function axisOf(from, split, to, left, right) {
  const head = Math.max(1000, split - from);
  if (to - from <= OUTLIVES * head) {
    const piece = { from, to: Math.max(to, from + 1000), left, right, isLog: false };
    return { pieces: [piece], breakAt: null, x: t => place(piece, t) };
  }
  const middle = left + (right - left) * HEAD_SHARE;
  const first = { from, to: from + head, left, right: middle - GAP / 2, isLog: false };
  const tail = { from: split, to, left: middle + GAP / 2, right, isLog: true };
  return { pieces: [first, tail], breakAt: middle, x: t => t <= split ? place(first, t) : place(tail, t) };
}

function place(piece, t) {
  const scale = piece.isLog ? ms => Math.log1p(ms / 5000) : ms => ms;
  const share = scale(Math.max(0, t - piece.from)) / scale(piece.to - piece.from);
  return piece.left + Math.min(1, share) * (piece.right - piece.left);
}

/** Return the ticks {x, label} of a piece of the axis, with room for each label. */
export function ticksOf(piece) {
  const seconds = (piece.to - piece.from) / 1000, width = piece.right - piece.left, ticks = [];
  if (piece.isLog) {
    for (const step of TAIL_STEPS.filter(step => step <= seconds)) {
      const x = place(piece, piece.from + step * 1000);
      const last = ticks.at(-1)?.x ?? piece.left - TAIL_SPACE / 2;
      if (x - last >= TAIL_SPACE && piece.right - x >= TAIL_SPACE / 2) ticks.push({ x, label: `+${span(step)}` });
    }
    return ticks;
  }
  const step = STEPS.find(step => step / seconds * width >= TICK_SPACE) ?? Math.ceil(seconds);
  for (let s = 0; s <= seconds; s += step) {
    const x = place(piece, piece.from + s * 1000);
    if (s === 0 || piece.right - x >= TAIL_SPACE / 2) ticks.push({ x, label: span(s) });
  }
  return ticks;
}

/** Return the polls of a row as {t, word, code, count, isMiss}; nothing of another shape. */
export function pollsOf(op) {
  const born = instant(op.registeredAt);
  const log = Array.isArray(op.pollLog) ? op.pollLog : [];
  let word = "";
  return log.filter(entry => Array.isArray(entry) && Number.isFinite(entry[0]) && born !== null).map(entry => {
    const [seconds, outcome, code, count] = entry, isMiss = outcome === "x";
    if (!isMiss && outcome !== "o") word = String(outcome);
    return { t: born + Math.max(0, seconds) * 1000, isMiss, word: isMiss ? "missed" : word || "read",
      code: code ?? null, count: Number.isFinite(count) && count > 1 ? count : 1 };
  });
}

/** Return the attempts of the deliveries as {t, lane, isAccepted, answer}. */
export function attemptsOf(op) {
  return (op.deliveries ?? []).flatMap((delivery, lane) => (delivery.attemptLog ?? []).map(attempt => ({
    t: instant(attempt.at), lane,
    isAccepted: attempt.statusCode >= 200 && attempt.statusCode < 300,
    answer: [attempt.statusCode, attempt.error].filter(Boolean).join(" ") || "no answer",
  }))).filter(attempt => attempt.t !== null);
}

/** Return everything that is drawn of an operation, in pixels, for a width and an instant. */
export function lifeOf(op, width, now) {
  const born = instant(op.registeredAt) ?? now, isRunning = op.state === "watching";
  const began = instant(op.startTime), from = began !== null && began < born && born - began < 6048e5 ? began : born;
  const seen = isRunning ? null : instant(op.finishedAt) ?? now;
  const ended = isRunning ? null : Math.min(seen, Math.max(from, instant(op.endTime) ?? seen));
  const polls = pollsOf(op), attempts = attemptsOf(op), deliveries = op.deliveries ?? [];
  const [expected, earliest, latest] = ["expectedEndAt", "expectedEndEarliestAt", "expectedEndLatestAt"]
    .map(name => isRunning ? instant(op[name]) : null);
  const nexts = deliveries.map((d, lane) => ({ t: d.state === "pending" ? instant(d.nextAttemptAt) : null, lane }))
    .filter(next => next.t !== null);
  const due = isRunning ? instant(op.dueAt) : null;
  // A far-off deadline would squeeze everything else: it is drawn when it is near.
  const split = Math.max(seen ?? Math.max(now, latest ?? expected ?? now, ...polls.map(poll => poll.t)), from + 1000);
  const to = Math.max(split, ...attempts.map(a => a.t), ...nexts.map(next => next.t));
  const isNarrow = width < NARROW, left = isNarrow ? MARGIN : LABELS, right = width - MARGIN;
  const { x, pieces, breakAt } = axisOf(from, split, to, left, right);
  const deadline = isRunning ? instant(op.deadlineAt) : null;
  const lane = isNarrow ? 46 : 30, top = isNarrow ? 58 : 42;
  const barEnd = Math.max(from, isRunning ? now : ended);
  return {
    width, left, right, isNarrow, breakAt, split: x(split), x,
    height: top + lane * (1 + deliveries.length) + 22,
    rows: { arm: top, polls: top + lane, lanes: deliveries.map((_, i) => top + lane * (2 + i)) },
    ticks: pieces.flatMap(ticksOf),
    bar: { x: x(from), width: Math.max(2, x(barEnd) - x(from)) },
    lag: seen !== null && seen > ended ? { x: x(ended), width: Math.max(2, x(seen) - x(ended)), seconds: (seen - ended) / 1000 } : null,
    born: born > from ? x(born) : null,
    expected: expected === null ? null
      : { x: x(expected), from: x(earliest ?? expected), to: x(latest ?? expected), at: op.expectedEndAt },
    deadline: deadline !== null && deadline <= to ? { x: x(deadline) } : null,
    now: isRunning ? x(now) : null,
    due: due !== null && due > now && due <= to ? x(due) : null,
    polls: polls.map(poll => ({ ...poll, x: Math.min(x(split), x(poll.t)), label: labelOf(poll, from) })),
    attempts: attempts.map(a => ({ ...a, x: x(a.t), label: `+${span((a.t - split) / 1000)}: ${a.answer}` })),
    nexts: nexts.map(next => ({ ...next, x: x(next.t) })),
  };
}

const codeOf = poll => poll.code === null || poll.code === 200 ? "" : String(poll.code);

function labelOf(poll, from) {
  const times = poll.count > 1 ? `${poll.count} polls alike, the first ` : "";
  return `${times}${span((poll.t - from) / 1000)} after the start: ${poll.word}${codeOf(poll) && ` (${codeOf(poll)})`}`;
}

/** Return the same life as rows {at, what, more}, oldest first: for a table, and for whoever copies it. */
export function storyOf(op) {
  const iso = t => new Date(t).toISOString(), rows = [];
  const add = (at, what, more) => instant(at) !== null && rows.push({ at, what, more: more ?? "" });
  add(op.startTime, "began", "as ARM says");
  add(op.registeredAt, "registered", op.kind);
  for (const poll of pollsOf(op)) {
    const more = [poll.word, codeOf(poll), poll.count > 1 && `${poll.count} alike`].filter(Boolean).join(" · ");
    add(iso(poll.t), poll.isMiss ? "missed poll" : "poll", more);
  }
  if (op.state !== "watching") {
    add(op.endTime, "ended", "as ARM says");
    add(op.finishedAt, "end seen", [op.status, op.errorCode].filter(Boolean).join(" · "));
  }
  for (const end of op.earlierEnds ?? []) add(end.finishedAt, "earlier end", end.status);
  for (const a of attemptsOf(op)) add(iso(a.t), "attempt", `${host(op.deliveries[a.lane].callbackUrl)} · ${a.answer}`);
  for (const d of op.deliveries ?? []) {
    if (d.state === "pending") add(d.nextAttemptAt, "next attempt", host(d.callbackUrl));
  }
  if (op.state === "watching") {
    add(op.dueAt, "next poll");
    add(op.expectedEndAt, "expected end");
    add(op.deadlineAt, "deadline");
  }
  return rows.sort((a, b) => instant(a.at) - instant(b.at));
}
