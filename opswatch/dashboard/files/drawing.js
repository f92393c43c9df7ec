// Turns the numbers of a life into SVG. Shapes carry the meaning, colours only repeat it; geometry is in
// attributes, because the page's policy forbids styles of elements.
import { Component, createRef, html } from "./ui.js";
import { lifeOf } from "./life.js";
import { clock, host, lookOf, plural, span } from "./words.js";

const SECOND = 1000, LABEL = 20; // characters of a lane's name
const PERCENTILES = 48; // px: room for the names of two percentiles

export class Life extends Component {
  state = { width: 0, now: Date.now() };
  box = createRef();

  componentDidMount() {
    this.observer = new ResizeObserver(([entry]) => this.setState({ width: Math.floor(entry.contentRect.width) }));
    this.observer.observe(this.box.current);
    this.timer = setInterval(() => {
      if (this.props.op.state === "watching" && !document.hidden) this.setState({ now: Date.now() });
    }, SECOND);
  }

  componentWillUnmount() { this.observer.disconnect(); clearInterval(this.timer); }

  render({ op }, { width, now }) {
    return html`<div class="life" ref=${this.box}>${width > 0 && Drawing({ op, life: lifeOf(op, width, now) })}</div>`;
  }
}

function Drawing({ op, life }) {
  const { arm, polls, lanes } = life.rows, bottom = life.height - 18, radius = life.isNarrow ? 4.2 : 5.5, deliveries = op.deliveries ?? [];
  const tries = deliveries.reduce((sum, delivery) => sum + (delivery.attempts ?? 0), 0);
  const sentence = `${op.status || "registered"}: ${plural(op.polls ?? 0, "poll")}, ${op.misses ?? 0} missed, ${plural(tries, "delivery attempt")}. The table below says the same.`;
  const name = (y, text) => life.isNarrow ? html`<text class="lane" x=${life.left} y=${y - 14}>${text}</text>`
    : html`<text class="lane" x="0" y=${y + 4}>${text.length > LABEL ? `${text.slice(0, LABEL - 1)}…` : text}<title>${text}</title></text>`;
  return html`<svg width=${life.width} height=${life.height} role="img" aria-label=${sentence}>
    ${life.ticks.map((tick, i) => html`<g key=${i}><line class="grid" x1=${tick.x} x2=${tick.x} y1="16" y2=${bottom} />
      <text x=${tick.x + 3} y="11">${tick.label}</text></g>`)}
    ${life.expected && Window({ expected: life.expected, y: arm - 12 })}
    ${name(arm, "ARM")}
    <rect class=${`life-bar ${lookOf(op)}`} x=${life.bar.x} y=${arm - 7} width=${life.bar.width} height="14" rx="2">
      <title>${`${op.status || "registered"}${Number.isFinite(op.durationSeconds) ? `, took ${span(op.durationSeconds)}` : ""}`}</title></rect>
    ${life.lag && html`<rect class="lag" x=${life.lag.x} y=${arm - 7} width=${life.lag.width} height="14">
      <title>${`seen ${span(life.lag.seconds)} after it ended`}</title></rect>`}
    ${life.born !== null && html`<path class="born" d=${`M${life.born} ${arm + 8}l-4 6h8z`}><title>registered</title>
      </path>`}
    ${life.expected && html`<path class="expected" d=${`M${life.expected.x} ${arm - 12}v24`}>
      <title>${`half of its kind have ended by ${clock(life.expected.at, Date.now(), undefined, true)}`}</title></path>`}
    ${life.deadline && html`<path class="deadline" d=${`M${life.deadline.x} ${arm + 12}v-26l9 4l-9 4`}>
      <title>deadline: it would be given up here</title></path>`}
    ${name(polls, "Polls")}<line class="grid" x1=${life.left} x2=${life.split} y1=${polls} y2=${polls} />
    ${life.polls.map((poll, i) => html`<g key=${i} class=${poll.isMiss ? "missed" : "read"}>
      <title>${poll.label}</title>${pollShape(poll, polls)}</g>`)}
    ${life.due !== null && html`<g class="next"><title>next poll</title><circle cx=${life.due} cy=${polls} r="4" /></g>`}
    ${deliveries.map((delivery, i) => html`<g key=${delivery.deliveryId}>${name(lanes[i], host(delivery.callbackUrl))}
      <line class="grid" x1=${life.isNarrow ? life.left : life.split} x2=${life.right} y1=${lanes[i]} y2=${lanes[i]} /></g>`)}
    ${life.attempts.map((attempt, i) => html`<g key=${i} class=${attempt.isAccepted ? "accepted" : "refused"}>
      <title>${attempt.label}</title>
      <circle cx=${attempt.x} cy=${lanes[attempt.lane]} r=${radius} />${!attempt.isAccepted && html`<path d=${`M${attempt.x - 2.5} ${lanes[attempt.lane]}h5`} />`}</g>`)}
    ${life.nexts.map(next => html`<g key=${next.lane} class="next"><title>next attempt</title>
      <circle cx=${next.x} cy=${lanes[next.lane]} r=${radius} /></g>`)}
    ${life.now !== null && html`<line class="now" x1=${life.now} x2=${life.now} y1="16" y2=${bottom}><title>now</title>
      </line>`}
    ${life.breakAt !== null && html`<path class="break" d=${`M${life.breakAt - 6} 14l4 -10m3 10l4 -10`}>
      <title>after its end: another scale, ever coarser</title></path>`}
  </svg>${Legend({ life, op })}`;
}

/** Where the end is expected: its kind's 10th to 90th percentile, named if there is room for both. */
function Window({ expected: { from, to }, y }) {
  return html`<rect class="window" x=${from} y=${y} width=${Math.max(2, to - from)} height="24">
      <title>its end is expected here: 8 of 10 of its kind end within this span</title></rect>
    ${to - from >= PERCENTILES && html`<text x=${from + 3} y=${y - 3}>p10</text><text class="end" x=${to - 3} y=${y - 3}>p90</text>`}`;
}

/** A read is a tick, a miss a cross; polls that were alike and are counted as one are a short comb. */
function pollShape(poll, y) {
  if (poll.isMiss) return html`<path d=${`M${poll.x - 4} ${y - 4}l8 8m0 -8l-8 8`} />`;
  if (poll.count === 1) return html`<path d=${`M${poll.x} ${y - 6}v12`} />`;
  return html`<path d=${`M${poll.x} ${y - 6}v12m-3 -7v7h6v-7`} />`;
}

function Legend({ life, op }) {
  const sign = (className, shape, text) => html`<li key=${text}><svg width="14" height="14" aria-hidden="true">
    <g class=${className}>${shape}</g></svg>${text}</li>`;
  const circle = html`<circle cx="7" cy="7" r="5" />`, at = text => clock(text, Date.now(), undefined, true);
  const codes = [...new Set(life.attempts.filter(attempt => !attempt.isAccepted).map(attempt => attempt.answer.split(" ")[0]))];
  return html`<ul class="legend" aria-hidden="true">
    ${life.born !== null && sign("born", html`<path d="M7 3l-4 7h8z" />`, "registered")}
    ${life.polls.some(poll => !poll.isMiss) && sign("read", html`<path d="M7 1v12" />`, "poll")}
    ${life.polls.some(poll => poll.count > 1) && sign("read", html`<path d="M7 1v12m-3 -7v7h6v-7" />`, "several alike")}
    ${life.polls.some(poll => poll.isMiss) && sign("missed", html`<path d="M3 3l8 8m0 -8l-8 8" />`, "missed poll")}
    ${life.lag && sign("", html`<rect class="lag" x="1" y="3" width="12" height="8" />`, `${span(life.lag.seconds)} until it was seen`)}
    ${life.expected && sign("", html`<path class="expected" d="M7 1v12" />`, `half of its kind have ended, ${at(op.expectedEndAt)}`)}
    ${life.expected && op.expectedEndEarliestAt && op.expectedEndLatestAt && sign("", html`<rect class="window" x="1" y="1" width="12" height="12" />`,
      `8 of 10 end here, ${at(op.expectedEndEarliestAt)} to ${at(op.expectedEndLatestAt)}`)}
    ${life.attempts.some(attempt => attempt.isAccepted) && sign("accepted", circle, "accepted")}
    ${codes.length > 0 && sign("refused", html`${circle}<path d="M4 7h6" />`, `refused: ${codes.slice(0, 3).join(", ")}`)}
    ${(life.nexts.length > 0 || life.due !== null) && sign("next", circle, "to come")}
    ${life.breakAt !== null && sign("", html`<path class="break" d="M2 12l4 -10m2 10l4 -10" />`, "another scale after its end")}</ul>`;
}
