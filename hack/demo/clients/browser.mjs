// A page in a browser, by @stomp/stompjs over WebSocket: waits for one message, or publishes one. Like a browser it offers
// the STOMP subprotocols and tells its origin. The login comes by the environment, STOMP_LOGIN and STOMP_PASSCODE, the place
// of the packages by NODE_PACKAGES.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_PACKAGES}/package.json`);
const { Client } = await import(require.resolve('@stomp/stompjs'));
const WebSocket = require('ws');

const PATIENCE = 30_000;
const [action, url, destination, text = ''] = process.argv.slice(2);
if (!['receive', 'publish'].includes(action) || !destination) {
  fail('usage: browser.mjs receive|publish ws://HOST:PORT/PATH DESTINATION [TEXT]');
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

const origin = new URL(url).origin.replace(/^ws/, 'http');
const client = new Client({
  // A browser sets the origin by itself.
  webSocketFactory: () => new WebSocket(url, client.stompVersions.protocolVersions(), { origin }),
  connectHeaders: { login: process.env.STOMP_LOGIN, passcode: process.env.STOMP_PASSCODE },
  heartbeatIncoming: 10_000,
  heartbeatOutgoing: 10_000,
  reconnectDelay: 0,
  onStompError: (frame) => fail(`the broker answered ERROR: ${frame.headers.message}`),
  onWebSocketError: (event) => fail(`no WebSocket at ${url}: ${event.message}`),
  onConnect: () => {
    client.watchForReceipt('done', () => {
      if (action === 'publish') end();
      else console.log('subscribed');
    });
    if (action === 'publish') {
      client.publish({ destination, body: text, headers: { receipt: 'done' } });
    } else {
      client.subscribe(destination, (message) => { console.log(message.body); end(); }, { receipt: 'done' });
    }
  },
});

function end() {
  client.deactivate().then(() => process.exit(0));
}

setTimeout(() => fail(`nothing came of it in ${PATIENCE / 1000} s`), PATIENCE).unref();
client.activate();
