// A page in a browser, by @stomp/stompjs over WebSocket: waits for one message, publishes one, or asks an application and waits
// for its reply or its refusal, which are printed with where they came. Like a browser it offers the STOMP subprotocols and
// tells its origin, ORIGIN or that of the broker. The login comes by the environment, STOMP_LOGIN and STOMP_PASSCODE, the place
// of the packages by NODE_PACKAGES.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_PACKAGES}/package.json`);
const { Client } = await import(require.resolve('@stomp/stompjs'));
const WebSocket = require('ws');

const PATIENCE = 30_000;
const [action, url, destination, text = ''] = process.argv.slice(2);
if (!['receive', 'publish', 'ask'].includes(action) || !destination) {
  fail('usage: browser.mjs receive|publish|ask ws://HOST:PORT/PATH DESTINATION [TEXT]');
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

const origin = process.env.ORIGIN ?? new URL(url).origin.replace(/^ws/, 'http');
const ANSWERS = ['/user/queue/replies', '/user/queue/errors'];
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
      else if (action === 'receive') console.log('subscribed');
    });
    if (action === 'ask') {
      for (const answers of ANSWERS) client.subscribe(answers, (message) => { console.log(answers, message.body); end(); });
      client.publish({ destination, body: text, headers: { 'content-type': 'application/json' } });
    } else if (action === 'publish') {
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
