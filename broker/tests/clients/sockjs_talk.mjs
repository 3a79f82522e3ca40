// What a client over SockJS does through one transport; runs in node and in browsers.

const PATIENCE = 30_000;

/** Fails when a promise takes too long. */
function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE} ms for ${what}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function assertEqual(what, found, wanted) {
  if (found !== wanted) throw new Error(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

/** Connects through a transport, talks, is refused, and ends; throws when anything is not as it should be. */
export async function talk({ Client, SockJS, url, transport }) {
  const what = (words) => `${words} through ${transport}`;
  let socket;
  const client = new Client({
    webSocketFactory: () => (socket = new SockJS(url, null, { transports: [transport], timeout: PATIENCE })),
    connectHeaders: { login: "ann", passcode: "pa:ss" },
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
    reconnectDelay: 0,
  });
  const connected = new Promise((resolve) => (client.onConnect = resolve));
  const failed = new Promise((resolve) => (client.onStompError = resolve));
  const closed = new Promise((resolve) => (client.onWebSocketClose = resolve));
  client.activate();
  const early = closed.then((event) => {
    throw new Error(what(`closed with ${event.code} ${event.reason}`));
  });
  early.catch(() => {});
  await soon(what("CONNECTED"), Promise.race([connected, early]));
  assertEqual("the transport", socket.transport, transport);

  const destination = `/topic/${transport}`;
  const bodies = [];
  let arrived = () => {};
  const bodiesUntil = (count) =>
    soon(what(`${count} messages`), Promise.race([early, new Promise((resolve) => {
      arrived = () => bodies.length >= count && resolve();
      arrived();
    })]));
  const subscribed = new Promise((resolve) => client.watchForReceipt("subscribed", resolve));
  client.subscribe(destination, ({ body }) => {
    bodies.push(body);
    arrived();
  }, { receipt: "subscribed" });
  await soon(what("a RECEIPT"), Promise.race([subscribed, early]));

  const odd = "grüße 👋 \u0001\u200d\u2028\u2029\ufeff\ufffe</script>\"\\'";
  client.publish({ destination, body: odd });
  await bodiesUntil(1);
  assertEqual(what("a text message"), bodies[0], odd);
  for (let number = 0; number < 200; number++) client.publish({ destination, body: `${number}` });
  const large = "x".repeat(200_000);
  client.publish({ destination, body: large });
  await bodiesUntil(202);
  assertEqual(what("the order"), bodies.slice(1, 201).join(), [...Array(200).keys()].join());
  assertEqual(what("a large message"), bodies[201], large);

  client.publish({ destination, headers: { transaction: "none" } });
  const error = await soon(what("an ERROR"), failed);
  assertEqual(what("the ERROR"), error.headers.message, "Transaction not found");
  const { code } = await soon(what("the end"), closed);
  assertEqual(what("the code at the end"), code, 1002);
  await client.deactivate();
}
