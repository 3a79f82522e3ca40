// The console: asks the admin port every second or two, and speaks STOMP with the same broker.
import { Stomp } from "./stomp.js";

const PERIOD = 2_000;
const HISTORY = 60;
const MOST_MESSAGES = 200;

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const base = location.pathname.replace(/\/console\/?$/, "");

// Elements are made, never parsed: names of destinations and bodies of messages are somebody else's text.
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// --- theme ---------------------------------------------------------------------------------------------------------

const THEMES = ["system", "light", "dark"];
function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  localStorage.setItem("theme", theme);
}
setTheme(localStorage.getItem("theme") ?? "system");
byId("theme").onclick = () => {
  const next = (THEMES.indexOf(localStorage.getItem("theme")) + 1) % THEMES.length;
  setTheme(THEMES[next]);
};

// --- asking the admin port -----------------------------------------------------------------------------------------

let token = sessionStorage.getItem("token");

async function ask(path, options = {}) {
  const answer = await fetch(`${base}${path}`, {
    ...options,
    headers: { Authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(5_000),
  });
  if (answer.status === 401) {
    lock("This is not the token.");
  }
  if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).trim()}`);
  return answer.headers.get("content-type")?.startsWith("application/json") ? answer.json() : answer.text();
}

function lock(why) {
  sessionStorage.removeItem("token");
  token = null;
  byId("unlock").hidden = false;
  document.querySelector("main").hidden = true;
  tell(why, false);
}

function tell(text, good) {
  byId("state").textContent = text;
  byId("state").className = good ? "good" : "bad";
}

byId("unlock").onsubmit = (event) => {
  event.preventDefault();
  token = event.target.elements.token.value.trim();
  event.target.reset();
  refresh();
};

async function refresh() {
  if (!token) return;
  try {
    const [status, stats, sessions] = await Promise.all([ask("/status"), ask("/websocket-stats"), ask(`/sessions?limit=500&scope=${byId("scope").value}`)]);
    sessionStorage.setItem("token", token);
    byId("unlock").hidden = true;
    document.querySelector("main").hidden = false;
    byId("version").textContent = status.version;
    const rejected = status.config.rejected;
    if (status.draining) tell("draining", false);
    else if (rejected) tell(`configuration rejected: ${rejected}`, false);
    else if (status.relay && !status.relay.connected) tell("no upstream answers", false);
    else tell("serving", true);
    showOverview(status.sessions, stats);
    showDestinations(stats.destinations);
    showSessions(sessions);
  } catch (error) {
    if (token) tell(error.message, false);
  }
}
byId("scope").onchange = refresh;
setInterval(() => document.hidden || refresh(), PERIOD);
refresh();

const TRANSPORTS = {
  stomp: "TCP",
  websocket: "WebSocket",
  sockJsWebsocket: "SockJS (WebSocket)",
  sockJsStreaming: "SockJS (streaming)",
  sockJsPolling: "SockJS (polling)",
};

// --- tiles ---------------------------------------------------------------------------------------------------------

const history = new Map();

function tile(name, value, detail = "", { graph = false } = {}) {
  const parts = [element("span", { textContent: name }), element("b", { textContent: number.format(value) })];
  if (detail) parts.push(element("span", { textContent: detail }));
  if (graph) parts.push(sparkline(name, value));
  return element("div", { className: "tile" }, ...parts);
}

function sparkline(name, value) {
  const values = [...(history.get(name) ?? []), value].slice(-HISTORY);
  history.set(name, values);
  const most = Math.max(...values, 1);
  const points = values.map((v, i) => `${(i / (HISTORY - 1)) * 100},${20 - (v / most) * 19}`).join(" ");
  const [svg, line] = ["svg", "polyline"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("points", points);
  svg.append(line);
  return svg;
}

function showOverview(sessions, stats) {
  const transports = Object.entries(TRANSPORTS).map(([field, name]) => [name, sessions[field] ?? 0]).filter(([, count]) => count > 0);
  const open = transports.reduce((sum, [, count]) => sum + count, 0);
  const reasons = Object.entries(stats.closedAbnormallyByReason).filter(([, count]) => count > 0);
  const waiting = Object.values(stats.destinations).reduce((sum, { depth }) => sum + depth, 0);
  byId("overview").replaceChildren(
    tile("Sessions", open, transports.map(([name, count]) => `${count} ${name}`).join(", ")),
    tile("Messages in a second", sessions.inboundPerSecond, "", { graph: true }),
    tile("Messages out a second", sessions.outboundPerSecond, "", { graph: true }),
    tile("Messages waiting", waiting, `destinations: ${Object.keys(stats.destinations).length}`),
    tile("Abnormal ends", sessions.closedAbnormally, reasons.map(([name, count]) => `${count} ${name}`).join(", ")),
  );
}

// --- tables --------------------------------------------------------------------------------------------------------

const filters = {};
for (const input of document.querySelectorAll(".filter")) {
  input.oninput = () => {
    filters[input.dataset.table] = input.value.toLowerCase();
    refresh();
  };
}
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea")) {
    event.preventDefault();
    document.querySelector(".filter").focus();
  }
});

// Rows that stay keep their elements, so that neither focus nor selection is lost with each refresh.
const rows = new Map();

function fill(table, entries, describe) {
  const wanted = filters[table] ?? "";
  const shown = entries.filter(([key]) => key.toLowerCase().includes(wanted));
  const heads = [...byId(table).tHead.rows[0].cells].map((cell) => cell.textContent);
  const kept = new Map();
  const list = shown.map(([key, entry]) => {
    const { cells, actions, className = "" } = describe(entry, key);
    let row = rows.get(`${table} ${key}`);
    if (!row) {
      row = element("tr", {}, ...cells.map((_, i) => {
        const cell = element("td");
        if (i > 0) cell.dataset.column = heads[i];
        cell.className = byId(table).tHead.rows[0].cells[i].className;
        return cell;
      }), element("td", {}, ...actions));
    }
    row.className = className;
    cells.forEach((text, i) => {
      if (row.cells[i].textContent !== text) row.cells[i].textContent = text;
    });
    kept.set(`${table} ${key}`, row);
    return row;
  });
  for (const key of [...rows.keys()].filter((key) => key.startsWith(`${table} `))) rows.delete(key);
  kept.forEach((row, key) => rows.set(key, row));
  const body = byId(table).tBodies[0];
  const none = () => element("tr", { className: "empty" }, element("td", { colSpan: heads.length, textContent: "none" }));
  const next = list.length > 0 ? list : [none()];
  if (next.length !== body.rows.length || next.some((row, i) => row !== body.rows[i])) body.replaceChildren(...next);
  byId(`${table}-count`).textContent = shown.length === entries.length ? entries.length : `${shown.length} of ${entries.length}`;
}

function showDestinations(destinations) {
  fill("destinations", Object.entries(destinations), ({ depth, unsettled, consumers }, name) => ({
    cells: [name, ...[depth, unsettled, consumers].map((value) => number.format(value))],
    actions: [element("button", {
      type: "button",
      textContent: "Use",
      title: "Take this destination into the forms below",
      onclick: () => {
        for (const form of ["subscribe", "send"]) byId(form).elements.destination.value = name;
        byId("subscribe").scrollIntoView({ behavior: "smooth" });
      },
    })],
    className: depth > 0 && consumers === 0 ? "slow" : "",
  }));
}

function showSessions({ total, sessions, incomplete = [] }) {
  const entries = sessions.map((session) => [`${session.user ?? ""} ${session.id} ${session.pod} ${session.address} ${session.transport}`, session]);
  fill("sessions", entries, (session) => ({
    cells: [
      session.user || "(anonymous)",
      session.id,
      session.pod,
      `${session.transport}, STOMP ${session.version}`,
      session.address,
      new Date(session.connectedSince).toLocaleString(),
      number.format(session.subscriptions),
      number.format(session.framesReceived),
      number.format(session.framesSent),
      number.format(session.octetsWaiting),
    ],
    actions: [element("button", {
      type: "button",
      textContent: "End",
      title: "End this session; the client may come again",
      onclick: async () => {
        if (!confirm(`End the session ${session.id} of ${session.user || "an anonymous client"}?`)) return;
        try {
          await ask(`/sessions/${encodeURIComponent(session.id)}`, { method: "DELETE" });
          refresh();
        } catch (error) {
          tell(error.message, false);
        }
      },
    })],
    className: session.octetsWaiting > 0 ? "slow" : "",
  }));
  // Only the first page is asked for; who has more sessions than that looks for one by its user.
  if (total > sessions.length) byId("sessions-count").textContent += ` (the first of ${total})`;
  if (incomplete.length > 0) byId("sessions-count").textContent += `; no answer from ${incomplete.join(", ")}`;
}

// --- messages ------------------------------------------------------------------------------------------------------

let stomp = null;

function stompState(text, good) {
  byId("stomp-state").textContent = text;
  byId("stomp-state").className = good ? "good" : "";
  for (const form of ["subscribe", "send"]) byId(form).querySelector("button").disabled = !good;
  byId("connect").querySelector("button").textContent = good ? "Disconnect" : "Connect";
}

byId("connect").onsubmit = (event) => {
  event.preventDefault();
  if (stomp) return stomp.close();
  const { login, passcode } = Object.fromEntries(new FormData(event.target));
  stompState("connecting", false);
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${base}/console/ws`;
  stomp = new Stomp(url, {
    login,
    passcode,
    onOpen: (headers) => stompState(`connected as ${headers["user-name"] ?? "nobody in particular"}, session ${headers.session}`, true),
    onEnd: (why) => {
      stomp = null;
      byId("subscriptions").replaceChildren();
      stompState(why, false);
    },
  });
};

byId("subscribe").onsubmit = (event) => {
  event.preventDefault();
  const destination = event.target.elements.destination.value;
  const unsubscribe = stomp.subscribe(destination, show);
  const entry = element("li", {}, element("button", {
    type: "button",
    textContent: `${destination} ✕`,
    title: "Unsubscribe",
    onclick: () => {
      unsubscribe();
      entry.remove();
    },
  }));
  byId("subscriptions").append(entry);
};

byId("send").onsubmit = (event) => {
  event.preventDefault();
  const { destination, type, body } = Object.fromEntries(new FormData(event.target));
  stomp.send(destination, type, body);
};

function show({ headers, body }) {
  const about = `${new Date().toLocaleTimeString()}  ${headers.destination}  ${headers["content-type"] ?? ""}`;
  const log = byId("log");
  log.prepend(element("li", {}, element("span", { className: "about", textContent: about }), element("pre", { textContent: body })));
  while (log.children.length > MOST_MESSAGES) log.lastChild.remove();
}
