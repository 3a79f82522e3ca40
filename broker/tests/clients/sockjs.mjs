// sockjs-client in node with @stomp/stompjs over it, through each transport that it has there or those named, against a broker at
// 127.0.0.1:PORT: text and its escapes, many messages at once, a large one, a receipt, an ERROR, the end.
//
// Usage: node sockjs.mjs PORT PACKAGES [TRANSPORT...]. Prints `ok` at the end; anything else is a failure.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [port, packages, ...named] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const { Client } = await import(require.resolve("@stomp/stompjs"));
const SockJS = require("sockjs-client");

// What each transport has to do is the same in node and in browsers.
const { talk } = await import(
  `data:text/javascript,${encodeURIComponent(readFileSync(new URL("sockjs_talk.mjs", import.meta.url), "utf8"))}`
);

const all = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];
for (const transport of named.length ? named : all) {
  await talk({ Client, SockJS, url: `http://127.0.0.1:${port}/chat`, transport });
}
console.log("ok");
process.exit(0);
