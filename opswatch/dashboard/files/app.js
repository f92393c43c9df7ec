// The shell: which view the address names, what it reads, and what can be done from everywhere.
import { call, keys, mayWrite } from "./api.js";
import { Deliveries, deliveriesPath } from "./deliveries.js";
import { Ask, Help, KeyForm, Keys, Post, whyNot } from "./dialogs.js";
import { Header } from "./header.js";
import { Health } from "./health.js";
import { focusContent, onKey, showCurrent } from "./keyboard.js";
import { Kinds } from "./kinds.js";
import { Live } from "./live.js";
import { Operation } from "./operation.js";
import { listPath, Operations } from "./operations.js";
import { Rejections, rejectionsPath } from "./rejections.js";
import { routeOf } from "./routes.js";
import { Component, html, linkOf, queued, render } from "./ui.js";
import { nameOf } from "./words.js";

const VIEWS = {
  operations: [Operations, "Operations", listPath], deliveries: [Deliveries, "Deliveries", deliveriesPath],
  rejections: [Rejections, "Rejections", rejectionsPath], kinds: [Kinds, "Kinds", () => "kinds"], health: [Health, "Health", () => "health/details"],
};
const SHORTCUTS = "opswatch-shortcuts", NOTICE = 8000; // ms

class App extends Component {
  listHash = "#/operations"; opened = null; probed = undefined;
  live = new Live(state => { this.setState({ live: state }); this.onRead(state); });
  route = routeOf(location.hash, VIEWS);
  state = {
    route: this.route, live: this.live.state, dialog: null, notice: "", mayWrite: false,
    hasShortcuts: localStorage.getItem(SHORTCUTS) !== "off",
  };

  componentDidMount() {
    addEventListener("hashchange", () => this.show(routeOf(location.hash, VIEWS)));
    addEventListener("keydown", this.onKey);
    this.show(this.route);
  }

  /** Show what the address names: what was read for another view is gone before this one is drawn. */
  show(route) {
    const isOther = route.view !== this.route.view || route.path !== this.route.path;
    const isFocused = document.activeElement !== document.body;
    this.route = route;
    if (route.view === "operations") this.listHash = location.hash || "#/operations";
    if (route.path) this.opened = route.id;
    this.setState({ route, dialog: null }, () => {
      // What had the focus may be gone with its filter.
      if (isOther || (isFocused && document.activeElement === document.body)) document.querySelector("main").focus({ preventScroll: true });
      if (isOther) scrollTo({ top: 0 });
    });
    this.follow(0);
  }

  follow(shown) {
    const { path, view, query } = this.route;
    this.live.follow(path ?? VIEWS[view][2](query, shown));
  }

  async onRead({ data, error }) {
    const { path, view } = this.route;
    const name = path ? data && `${data.status ?? "registered"} ${nameOf(data)}` : VIEWS[view][1];
    document.title = [name, "opswatch"].filter(Boolean).join(" · ");
    if (data && !error && this.probed !== (keys.get("write") ?? "")) {
      this.probed = keys.get("write") ?? "";
      this.setState({ mayWrite: await mayWrite() });
    }
  }

  /** Back from an operation, the focus goes to its row, once the list has been read. */
  componentDidUpdate(_, before) {
    if (before.route !== this.state.route || !before.live.summary !== !this.state.live.summary) showCurrent();
    if (!this.opened || this.route.view !== "operations" || !this.live.state.data) return;
    const row = [...document.querySelectorAll("tr[data-row]")].find(row => row.dataset.row === this.opened);
    this.opened = null;
    if (document.activeElement === document.querySelector("main")) row?.querySelector("a").focus();
  }

  onKey = event => onKey(event, {
    hasShortcuts: this.state.hasShortcuts,
    back: this.route.path && (() => { location.hash = this.listHash; }),
    does: { r: () => this.live.refresh(), p: () => this.state.mayWrite && this.act.post(), "?": () => this.open("help") },
  });

  open = (dialog, props = {}) => this.setState({ dialog: { name: dialog, ...props } });

  close = () => this.setState({ dialog: null });

  say = notice => {
    this.setState({ notice });
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => this.setState({ notice: "" }), NOTICE);
  };

  /** What a view can do: each says what came of it, and reads again. */
  act = {
    run: async (path, say, body) => {
      try { this.say(say(await call(path, { method: "POST", body }))); } catch (problem) { this.say(`${whyNot(problem)} ${problem.message}`); }
      this.live.refresh();
    },
    ask: (question, verb, path, say, body) => this.open("ask", { question, verb, onYes: () => this.act.run(path, say, body) }),
    copy: async text => { try { await navigator.clipboard.writeText(text); this.say("Copied."); } catch { this.say(`Not copied: ${text}`); } },
    post: body => this.open("post", { body: typeof body === "string" ? body : "" }),
    redeliverAll: async query => {
      const wanted = { state: "abandoned", ...Object.fromEntries([...query].filter(([name]) => ["host", "since"].includes(name))) };
      try {
        const { count, more } = await call("deliveries/redeliver", { method: "POST", body: JSON.stringify({ ...wanted, dryRun: true }) });
        const what = `${count} abandoned ${count === 1 ? "delivery" : "deliveries"}${wanted.host ? ` to ${wanted.host}` : ""}`;
        const rest = more ? " There are more: repeat it for them." : "";
        this.act.ask(`${what} will be sent again, each under its own id.${rest}`, `Redeliver ${count}`,
          "deliveries/redeliver", queued, JSON.stringify(wanted));
      } catch (problem) { this.say(`${whyNot(problem)} ${problem.message}`); }
    },
  };

  onKeys = () => { this.close(); this.probed = undefined; this.live.reset(); };

  onForget = () => { keys.forget(); this.setState({ mayWrite: false }); this.onKeys(); };

  dialog({ name, ...props }) {
    const parts = { post: Post, ask: Ask, help: Help, keys: Keys }, { hasShortcuts, mayWrite } = this.state;
    const onPosted = row => { this.close(); this.say("Posted."); location.hash = linkOf(row).slice(1); };
    const onSwitch = isOn => { localStorage.setItem(SHORTCUTS, isOn ? "on" : "off"); this.setState({ hasShortcuts: isOn }); };
    const common = { hasShortcuts, mayWrite, onPosted, onSwitch, onSaved: this.onKeys, onForget: this.onForget, onClose: this.close };
    return html`<${parts[name]} ...${{ ...common, ...props }} />`;
  }

  render(_, { route, live, dialog, notice, mayWrite }) {
    const needsKey = live.error?.status === 401, View = route.path ? Operation : VIEWS[route.view][0];
    return html`<${Header} view=${route.view} live=${live} control=${this.live} mayWrite=${mayWrite}
        views=${VIEWS} onSkip=${focusContent} hasKeys=${keys.has("read")} onPost=${this.act.post} onOpen=${this.open} />
      <main tabindex="-1">${needsKey ? html`<h1>A key is needed</h1>
        <${KeyForm} isWrong=${keys.has("read")} onSaved=${this.onKeys} />`
        : html`<${View} key=${route.path ?? route.view} live=${live} query=${route.query}
            back=${this.listHash} act=${this.act} mayWrite=${mayWrite}
            onRetry=${() => this.live.refresh()} onShown=${shown => this.follow(shown)} onPost=${this.act.post} />`}</main>
      <div class="notice" role="status">${notice}</div>${dialog && this.dialog(dialog)}`;
  }
}

if (!location.hash) history.replaceState(null, "", "#/operations");
render(html`<${App} />`, document.getElementById("app"));
