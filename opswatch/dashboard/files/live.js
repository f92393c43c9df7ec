// Reads what is shown again and again. Each read is a billed execution and keeps an instance warm: one
// request a tick, fewer while nothing runs, while nobody is there or after errors, none while hidden.
import { call } from "./api.js";
import { WAITS, waitOf } from "./pace.js";

const SECOND = 1000;
const SUMMARY = "summary", SUMMARY_TURN = 3; // every third tick reads the summary instead

/** What is shown, and when it is read again. Calls `onChange` after each change of `state`. */
export class Live {
  #timer = 0; #slow = 0; #turn = 0; #failures = 0; #dueReads = 0; #control = null; #lastInput = Date.now();

  constructor(onChange) {
    this.onChange = onChange;
    this.state = { path: null, data: null, error: null, readAt: 0, nextAt: 0, mode: "live", summary: null, isSlow: false };
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.#wake()));
    for (const name of ["pointerdown", "keydown"]) addEventListener(name, () => this.#wake(), { passive: true });
  }

  /** Show `path` from now on; null: a view that reads nothing. The same path is read on as before. */
  follow(path) {
    if (path === this.state.path) return;
    const isSameList = path?.split("?")[0] === this.state.path?.split("?")[0] && sameBut(path, this.state.path, "maxpagesize");
    this.#failures = 0;
    this.#set({ path, error: null, isSlow: false, ...(isSameList ? {} : { data: null, readAt: 0 }) });
    this.refresh();
  }

  /** Read now: what is shown, and the summary if there is none yet. */
  refresh() {
    this.#dueReads = 0;
    if (this.state.summary === null) this.#readSummary();
    return this.#read();
  }

  pause() { this.#stop(); this.#set({ mode: "paused" }); }

  resume() { this.#lastInput = Date.now(); this.#set({ mode: "live" }); this.refresh(); }

  /** Read anew with other keys. */
  reset() { this.#failures = 0; this.#set({ data: null, error: null, summary: null, mode: "live" }); return this.refresh(); }

  #set(change) { this.state = { ...this.state, ...change }; this.onChange(this.state); }

  #stop() { clearTimeout(this.#timer); this.#control?.abort(); this.#control = null; }

  /** Somebody is here: read at once if the next tick has passed meanwhile, else wait for it. */
  #wake() {
    const wasAway = Date.now() - this.#lastInput > WAITS.untilAway;
    this.#lastInput = Date.now();
    if (this.state.mode !== "live" || document.hidden || this.#control) return;
    clearTimeout(this.#timer);
    const wait = wasAway ? 0 : this.state.nextAt - Date.now();
    if (wait <= 0) this.#tick();
    else if (wait < Infinity) this.#timer = setTimeout(() => this.#tick(), wait);
  }

  #tick() {
    clearTimeout(this.#timer);
    if (document.hidden || this.state.mode !== "live") return;
    if (Date.now() - this.#lastInput > WAITS.untilAsleep) { this.#set({ mode: "asleep" }); return; }
    this.#turn += 1;
    const isSummarys = this.#turn % SUMMARY_TURN === 0 && !this.#failures && this.state.data !== null;
    if (isSummarys || this.state.path === null) this.#readSummary().then(() => this.#later());
    else this.#read();
  }

  async #readSummary() {
    try { this.#set({ summary: await call(SUMMARY) }); } catch { /* the view's own read says what is wrong */ }
  }

  async #read() {
    this.#stop();
    const path = this.state.path, control = this.#control = new AbortController();
    if (path === null) { this.#control = null; this.#later(); return; }
    clearTimeout(this.#slow);
    if (this.state.data === null) this.#slow = setTimeout(() => this.#set({ isSlow: true }), WAITS.untilSlow);
    try {
      const data = await call(path, { signal: control.signal });
      if (control.signal.aborted) return;
      this.#failures = 0;
      this.#done({ data, error: null, readAt: Date.now() }, 0);
    } catch (error) {
      if (control.signal.aborted || error.name === "AbortError") return;
      this.#failures += 1;
      this.#done({ error }, (error.retryAfter || 0) * SECOND);
    }
  }

  #done(change, atLeast) {
    this.#control = null;
    clearTimeout(this.#slow);
    this.#set({ ...change, isSlow: false });
    this.#later(atLeast);
  }

  /** Set the timer of the next tick; a missing key is asked for instead. */
  #later(atLeast = 0) {
    clearTimeout(this.#timer);
    if (this.state.error?.status === 401) { this.#set({ nextAt: Infinity }); return; }
    let { wait, isDue } = waitOf(this.state.data, Date.now(), this.#dueReads);
    this.#dueReads = isDue ? this.#dueReads + 1 : 0;
    if (Date.now() - this.#lastInput > WAITS.untilAway) wait = Math.max(wait, WAITS.away);
    if (this.#failures) wait = Math.min(WAITS.running * 2 ** (this.#failures - 1), WAITS.error);
    wait = Math.max(wait, atLeast);
    this.#set({ nextAt: Date.now() + wait });
    this.#timer = setTimeout(() => this.#tick(), wait);
  }
}

function sameBut(a, b, name) {
  const [one, other] = [a, b].map(path => new URLSearchParams(path?.split("?")[1] ?? ""));
  one.delete(name);
  other.delete(name);
  return String(one) === String(other);
}
