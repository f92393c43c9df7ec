// When what is shown is read again. Pure: "now" is an argument.
import { instant } from "./words.js";

const SECOND = 1000, MINUTE = 60 * SECOND;
export const WAITS = {
  running: 10 * SECOND, ended: MINUTE, error: 120 * SECOND, away: MINUTE, quick: 2 * SECOND,
  untilAway: 15 * MINUTE, untilAsleep: 60 * MINUTE, untilSlow: 3 * SECOND,
};

/** Return the milliseconds until `data`, an operation or a list, is read again, and whether an attempt is due.
 *
 * A running operation changes soon. So does a pending delivery once its attempt is due: the first reads after
 * that, of which there were `dueReads`, follow quickly, each after twice as long as the one before.
 */
export function waitOf(data, now, dueReads) {
  const rows = (data?.value ?? [data]).filter(Boolean), deliveries = rows.flatMap(row => row.deliveries ?? [row]);
  const usual = rows.some(row => row.state === "watching") ? WAITS.running : WAITS.ended;
  const attempts = deliveries.filter(delivery => delivery.state === "pending").map(delivery => instant(delivery.nextAttemptAt));
  const until = Math.min(...attempts.filter(at => at !== null)) - now;
  if (until <= 0) return { wait: Math.min(WAITS.running, WAITS.quick * 2 ** dueReads), isDue: true };
  return { wait: Math.min(usual, until + WAITS.quick), isDue: false };
}
