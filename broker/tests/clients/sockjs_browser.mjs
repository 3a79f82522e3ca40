// sockjs-client in headless Chromium with @stomp/stompjs over it, through each transport that it has for pages of another
// origin, all in one session of the browser. Serves the pages itself and tells where; is told the port of the broker.
//
// Usage: node sockjs_browser.mjs PACKAGES. Prints `pages PORT`, reads the broker's port, prints `ok` at the end.

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [packages] = process.argv.slice(2);
const PATIENCE = 240_000;
const TRANSPORTS = [
  "websocket", "xhr-streaming", "eventsource", "iframe-eventsource", "iframe-htmlfile", "xhr-polling",
  "iframe-xhr-polling", "jsonp-polling",
];

const files = {
  "/sockjs.js": `${packages}/node_modules/sockjs-client/dist/sockjs.js`,
  "/stomp.js": `${packages}/node_modules/@stomp/stompjs/bundles/stomp.umd.js`,
  "/talk.mjs": new URL("sockjs_talk.mjs", import.meta.url),
};
const page = (port) => `<!doctype html>
<meta charset="utf-8">
<script src="/sockjs.js"></script>
<script src="/stomp.js"></script>
<script type="module">
  import { talk } from "/talk.mjs";
  const tell = (words) => fetch("/told", { method: "POST", body: words });
  addEventListener("error", (event) => tell("error: " + event.message));
  try {
    for (const transport of ${JSON.stringify(TRANSPORTS)}) {
      await talk({ Client: StompJs.Client, SockJS, url: "http://127.0.0.1:${port}/chat", transport });
      await tell(transport);
    }
    await tell("ok");
  } catch (error) {
    await tell("error: " + error.message);
  }
</script>`;

let port;
let finish;
const outcome = new Promise((resolve) => (finish = resolve));
const server = createServer((request, response) => {
  if (request.url === "/told") {
    let words = "";
    request.on("data", (data) => (words += data));
    request.on("end", () => {
      response.end();
      console.error(words);
      if (words === "ok" || words.startsWith("error")) finish(words);
    });
  } else if (files[request.url]) {
    response.setHeader("content-type", "text/javascript; charset=utf-8");
    response.end(readFileSync(files[request.url]));
  } else {
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(page(port));
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
console.log(`pages ${server.address().port}`);
port = await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));

const profile = mkdtempSync(join(tmpdir(), "sockjs-browser-"));
const browser = spawn("chromium", [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
  "--disable-background-networking", "--no-proxy-server", `--user-data-dir=${profile}`,
  `http://127.0.0.1:${server.address().port}/`,
], { detached: true, stdio: ["ignore", "ignore", "pipe"] });
let log = "";
browser.stderr.on("data", (data) => (log = (log + data).slice(-4_000)));
browser.on("error", (error) => finish(`error: chromium does not start: ${error.message}`));
browser.on("exit", (code) => finish(`error: chromium ended with ${code}: ${log}`));
setTimeout(() => finish(`error: no outcome within ${PATIENCE} ms: ${log}`), PATIENCE);
const words = await outcome;
browser.removeAllListeners("exit");
const gone = new Promise((resolve) => browser.once("exit", resolve));
// The whole group: a browser is many processes, and each of them writes into the profile.
if (browser.pid) process.kill(-browser.pid, "SIGKILL");
if (browser.pid && browser.exitCode === null) await gone;
try {
  rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
} catch (error) {
  console.error(`the profile stays: ${error.message}`);
}
console.log(words);
process.exit(words === "ok" ? 0 : 1);
