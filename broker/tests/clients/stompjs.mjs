// @stomp/stompjs over WebSocket against a broker at 127.0.0.1:PORT: receipts, text and binary, large frames in pieces,
// acknowledgements, transactions, heart-beats, the end.
//
// Usage: node stompjs.mjs PORT PACKAGES. Prints `ok` at the end; anything else is a failure.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [port, packages] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const { Client, Versions } = await import(require.resolve("@stomp/stompjs"));
Object.assign(globalThis, { WebSocket: require("ws") });

const PATIENCE = 20_000;

/** Fails when a promise takes too long. */
function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE} ms for ${what}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A queue that is awaited. */
function inbox() {
  const items = [];
  const waiting = [];
  return {
    put: (item) => (waiting.length ? waiting.shift()(item) : items.push(item)),
    next: (what) => soon(what, items.length ? Promise.resolve(items.shift()) : new Promise((r) => waiting.push(r))),
  };
}

/** A connected client. */
async function connect(options = {}) {
  const errors = inbox();
  const closes = inbox();
  const client = new Client({
    brokerURL: `ws://127.0.0.1:${port}/chat`,
    connectHeaders: { login: "ann", passcode: "pa:ss" },
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
    reconnectDelay: 0,
    onWebSocketClose: (event) => closes.put(event),
    ...options,
  });
  const answer = new Promise((resolve) => {
    client.onConnect = resolve;
    client.onStompError = resolve;
  });
  client.activate();
  const frame = await soon("CONNECTED or ERROR", answer);
  client.onStompError = (error) => errors.put(error);
  return { client, frame, errors, closes };
}

/** Waits for the RECEIPT of what `send` sends with the header it is given. */
function received(client, receipt, send) {
  const arrived = new Promise((resolve) => client.watchForReceipt(receipt, resolve));
  send({ receipt });
  return soon(`RECEIPT ${receipt}`, arrived);
}

async function subscribe(client, destination, headers = {}) {
  const messages = inbox();
  await received(client, `subscribed-${destination}`, (receipt) =>
    client.subscribe(destination, messages.put, { ...headers, ...receipt }));
  return messages;
}

for (const version of ["1.0", "1.1", "1.2"]) {
  const { client, frame } = await connect({ stompVersions: new Versions([version]) });
  assert.equal(frame.command, "CONNECTED");
  assert.equal(client.connectedVersion, version);
  await client.deactivate();
}

{
  const { client, frame } = await connect();
  assert.equal(client.connectedVersion, "1.2");
  assert.equal(frame.headers["user-name"], "ann");
  const messages = await subscribe(client, "/topic/text");
  client.publish({ destination: "/topic/text", body: "grüße 👋", headers: { odd: "a:b\nc\\d" } });
  const message = await messages.next("a text message");
  assert.equal(message.body, "grüße 👋");
  assert.equal(message.headers.odd, "a:b\nc\\d");

  const binaryBody = new Uint8Array(2_000).map((_, index) => index % 256);
  client.publish({ destination: "/topic/text", binaryBody, headers: { "content-type": "application/octet-stream" } });
  assert.deepEqual((await messages.next("a binary message")).binaryBody, binaryBody);
  await client.deactivate();
}

{
  const { client } = await connect({ splitLargeFrames: true, maxWebSocketChunkSize: 1_000 });
  const messages = await subscribe(client, "/topic/large");
  const body = "ü".repeat(30_000);
  client.publish({ destination: "/topic/large", body, skipContentLengthHeader: true });
  assert.equal((await messages.next("a large message")).body, body);
  await client.deactivate();
}

{
  const { client } = await connect();
  const messages = await subscribe(client, "/queue/acks", { ack: "client-individual" });
  for (const body of ["one", "two"]) client.publish({ destination: "/queue/acks", body });
  const [one, two] = [await messages.next("the first"), await messages.next("the second")];
  assert.deepEqual([one.body, two.body], ["one", "two"]);
  one.ack();
  two.nack();
  const again = await messages.next("the second again");
  assert.deepEqual([again.body, again.headers.redelivered], ["two", "true"]);
  const transaction = client.begin();
  again.ack({ transaction: transaction.id });
  client.publish({ destination: "/queue/acks", body: "three", headers: { transaction: transaction.id } });
  transaction.commit();
  const three = await messages.next("the committed one");
  assert.equal(three.body, "three");
  await received(client, "acknowledged", (receipt) => three.ack(receipt));
  await client.deactivate();
}

{
  const { client, closes } = await connect({ heartbeatIncoming: 500, heartbeatOutgoing: 500 });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.ok(client.connected, "the heart-beats keep the connection");
  const messages = await subscribe(client, "/topic/alive");
  client.publish({ destination: "/topic/alive", body: "yes" });
  assert.equal((await messages.next("a message after the beats")).body, "yes");
  await client.deactivate();
  assert.equal((await closes.next("the end")).code, 1000);
}

{
  const { client, errors, closes } = await connect();
  client.publish({ destination: "/topic/a", headers: { transaction: "none" } });
  assert.match((await errors.next("an ERROR")).body, /none/);
  assert.equal((await closes.next("the end")).code, 1002);
  await client.deactivate();
}

{
  const { client, frame, closes } = await connect({ connectHeaders: { login: "ann", passcode: "wrong" } });
  assert.equal(frame.command, "ERROR");
  assert.equal((await closes.next("the end")).code, 1008);
  await client.deactivate();
}

console.log("ok");
