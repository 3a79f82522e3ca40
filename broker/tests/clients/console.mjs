// The console in a headless Chromium: console.mjs ADMIN_PORT NODE_FOLDER SCREENSHOT_FOLDER. Prints a line `ok`.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [port, nodeFolder, screenshots] = process.argv.slice(2);
const WebSocket = createRequire(join(nodeFolder, "package.json"))("ws");
const PATIENCE = 60_000;

const profile = mkdtempSync(join(tmpdir(), "console-"));
const browser = spawn("chromium", [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
  "--disable-background-networking", "--no-proxy-server", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank",
], { detached: true, stdio: ["ignore", "ignore", "pipe"] });

async function end(code) {
  const gone = new Promise((resolve) => browser.once("exit", resolve));
  if (browser.pid) process.kill(-browser.pid, "SIGKILL");
  if (browser.exitCode === null) await gone;
  rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  process.exit(code);
}
setTimeout(() => {
  console.error(`no outcome within ${3 * PATIENCE} ms`);
  end(1);
}, 3 * PATIENCE);

// --- the DevTools protocol -------------------------------------------------------------------------------------------

async function debuggerUrl() {
  for await (const line of createInterface({ input: browser.stderr })) {
    const found = /DevTools listening on (\S+)/.exec(line);
    if (found) return new URL(found[1]);
  }
  throw new Error("chromium does not say where it is debugged");
}

async function openPage() {
  const { host } = await debuggerUrl();
  const pages = await (await fetch(`http://${host}/json`)).json();
  const socket = new WebSocket(pages.find((page) => page.type === "page").webSocketDebuggerUrl);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const waiting = new Map();
  const complaints = [];
  socket.on("message", (data) => {
    const { id, result, error, method, params } = JSON.parse(data);
    if (id) waiting.get(id)(error ? Promise.reject(new Error(error.message)) : result);
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.exception?.description);
    // Of the wrong token that is tried below the browser itself complains, at a time of its own.
    const refused = method === "Log.entryAdded" && params.entry.text.includes("401 (Unauthorized)");
    if (method === "Log.entryAdded" && params.entry.level === "error" && !refused) complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  });
  let last = 0;
  const call = (method, params = {}) => new Promise((resolve) => {
    waiting.set(++last, resolve);
    socket.send(JSON.stringify({ id: last, method, params }));
  });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await Promise.all(["Page", "Runtime", "Log"].map((domain) => call(`${domain}.enable`)));
  return { call, evaluate, complaints };
}

// --- the visit -------------------------------------------------------------------------------------------------------

async function visit() {
  const { call, evaluate, complaints } = await openPage();
  const eventually = async (what, expression) => {
    const deadline = Date.now() + PATIENCE;
    let last;
    while (Date.now() < deadline) {
      last = await evaluate(expression).catch((error) => error.message);
      if (last === true) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`waited in vain for ${what}: ${last}; the page: ${await evaluate("document.body.innerText")}`);
  };
  const screenshot = async (name, width, height, theme) => {
    await call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    await call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: theme }] });
    const { data } = await call("Page.captureScreenshot", { captureBeyondViewport: true });
    writeFileSync(join(screenshots, `${name}.png`), Buffer.from(data, "base64"));
  };
  const submit = (form, values) => evaluate(`(() => {
    const form = document.getElementById(${JSON.stringify(form)});
    for (const [name, value] of Object.entries(${JSON.stringify(values)})) form.elements[name].value = value;
    form.requestSubmit();
  })()`);
  const text = (id) => `document.getElementById("${id}").textContent`;

  await call("Page.navigate", { url: `http://127.0.0.1:${port}/console` });
  await eventually("the page", `document.readyState === "complete" && document.getElementById("unlock").offsetParent !== null`);
  await submit("unlock", { token: "wrong" });
  await eventually("a wrong token to be refused", `${text("state")}.includes("not the token")`);
  await submit("unlock", { token: "open-sesame" });
  await eventually("the overview", `${text("state")} === "serving" && document.querySelector("main").offsetParent !== null`);
  await eventually("the question for the token to go", `document.getElementById("unlock").offsetParent === null`);

  await submit("connect", { login: "ann", passcode: "pa:ss" });
  await eventually("the STOMP session", `${text("stomp-state")}.startsWith("connected as ann")`);
  await submit("subscribe", { destination: "/topic/**" });
  await eventually("the destination in the table", `${text("destinations")}.includes("/topic/**")`);
  await eventually("the session in the table", `${text("sessions")}.includes("ann") && ${text("sessions")}.includes("websocket")`);
  await evaluate(`document.getElementById("scope").value = "cluster"; document.getElementById("scope").onchange()`);
  await eventually("the other pod's session in the table", `${text("sessions")}.includes("(anonymous)") && ${text("sessions-count")}.includes("2")`);
  await submit("send", { destination: "/topic/greetings", type: "text/plain", body: "<b>Grüße</b>: \\ and\nmore" });
  await eventually("the message", `${text("log")}.includes("<b>Gr") && ${text("log")}.includes("/topic/greetings")`);
  for (const [name, width, height, theme] of [["light", 1280, 1000, "light"], ["dark", 1280, 1000, "dark"], ["phone", 390, 844, "light"]]) {
    await screenshot(name, width, height, theme);
    const wide = await evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    if (wide > 0) throw new Error(`the page is ${wide} pixels wider than a screen of ${width}`);
  }

  await evaluate(`document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }))`);
  await eventually("the key / to lead to the filter", `document.activeElement.dataset.table === "destinations"`);
  await submit("send", { destination: "/nowhere", body: "x" });
  await eventually("the ERROR to be shown", `${text("stomp-state")}.includes("/nowhere")`);
  if (complaints.length > 0) throw new Error(`the browser complains: ${complaints.join("; ")}`);
}

try {
  await visit();
  console.log("ok");
  await end(0);
} catch (error) {
  console.error(error.message);
  await end(1);
}
