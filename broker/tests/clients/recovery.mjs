// The session of examples/clients/reconnect.mjs against a broker that comes and goes: every message that was published must
// have its receipt and must have come.
//
// Usage: node recovery.mjs PORT PACKAGES MESSAGES. Prints `sent N` for each, `ok` at the end.

import { createRequire } from "node:module";
import { open } from "../../../examples/clients/reconnect.mjs";

const [port, packages, messages] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const { Client } = await import(require.resolve("@stomp/stompjs"));
Object.assign(global, { WebSocket: require("ws") });

const session = open({ Client, brokerURL: `ws://127.0.0.1:${port}/ws`, login: "ann", passcode: "pa:ss" });
const missing = new Set(Array.from({ length: Number(messages) }, (_, number) => String(number)));
const received = new Promise((resolve) => {
  session.subscribe("/queue/orders", (message) => {
    missing.delete(message.body);
    if (missing.size === 0) resolve();
  });
});
for (let number = 0; number < Number(messages); number += 1) {
  await session.publish("/queue/orders", String(number));
  console.log(`sent ${number}`);
}
await received;
await session.close();
console.log("ok");
process.exit(0);
