// @stomp/stompjs against an application behind a broker at 127.0.0.1:PORT: a reply, an answer to a subscription, a refusal.
//
// Usage: node application.mjs PORT PACKAGES. Prints `ok` at the end; anything else is a failure.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [port, packages] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const { Client } = await import(require.resolve("@stomp/stompjs"));
Object.assign(globalThis, { WebSocket: require("ws") });

const PATIENCE = 20_000;
setTimeout(() => {
  console.error(`not done within ${PATIENCE} ms`);
  process.exit(1);
}, PATIENCE).unref();

const client = new Client({
  brokerURL: `ws://127.0.0.1:${port}/chat`,
  connectHeaders: { login: "ann", passcode: "pa:ss" },
  reconnectDelay: 0,
});
await new Promise((resolve, reject) => {
  client.onConnect = resolve;
  client.onStompError = (frame) => reject(new Error(frame.body));
  client.activate();
});

/** The next message on a subscription to this destination. */
function message(destination) {
  return new Promise((resolve) => client.subscribe(destination, resolve));
}

const reply = message("/user/queue/replies");
const failure = message("/user/queue/errors");
const answer = message("/app/prices/EUR");
assert.deepEqual(JSON.parse((await answer).body), { destination: "/app/prices/EUR" });

const handled = new Promise((resolve) => client.watchForReceipt("sent", resolve));
client.publish({ destination: "/app/greet", body: "wörld", headers: { "correlation-id": "7", receipt: "sent" } });
const { body, headers } = await reply;
assert.deepEqual(JSON.parse(body), { greeting: "hello wörld", from: "ann" });
assert.equal(headers["correlation-id"], "7");
assert.equal(headers["content-type"], "application/json");
await handled;

client.publish({ destination: "/app/admin/shutdown" });
const refused = await failure;
assert.equal(refused.headers.status, "403");
assert.deepEqual(JSON.parse(refused.body), { error: "only for administrators" });
await client.deactivate();
console.log("ok");
