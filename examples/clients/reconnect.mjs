// A STOMP session that outlives its connections, with @stomp/stompjs: it connects again after a random part of a growing
// delay, subscribes again, and sends again what no RECEIPT has come for.
//
//   const session = open({ Client, brokerURL: 'wss://example.com/ws', login, passcode });
//   session.subscribe('/queue/orders', (message) => handle(message.body));
//   await session.publish('/queue/orders', 'buy');     // done when the broker has it safe
//
// What is sent again may have arrived before: give messages a key of your own and pass over those that you have seen.

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;

export function open({ Client, brokerURL, login, passcode }) {
  const subscriptions = new Map();
  const outbox = new Map();
  let last = 0;
  let delay = 0;

  const client = new Client({
    brokerURL,
    connectHeaders: { login, passcode },
    heartbeatIncoming: 10_000,
    heartbeatOutgoing: 10_000,
    reconnectDelay: 1,
    // All sessions of a pod end at once when it does: the random part keeps them from coming back at once.
    beforeConnect: async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * delay));
      delay = Math.min(LONGEST_DELAY, delay * 2 || FIRST_DELAY);
    },
    onConnect: () => {
      delay = FIRST_DELAY;
      for (const id of subscriptions.keys()) start(id);
      for (const receipt of outbox.keys()) transmit(receipt);
    },
    // The broker says why before it closes.
    onStompError: (frame) => console.error(`ERROR: ${frame.headers.message} ${frame.body}`),
  });

  function start(id) {
    const { destination, handle } = subscriptions.get(id);
    const onMessage = (message) => {
      handle(message);
      message.ack();
    };
    client.subscribe(destination, onMessage, { id, ack: "client-individual" });
  }

  function transmit(receipt) {
    const { destination, headers, body, done } = outbox.get(receipt);
    client.watchForReceipt(receipt, () => {
      outbox.delete(receipt);
      done();
    });
    client.publish({ destination, headers: { persistent: "true", ...headers, receipt }, body });
  }

  client.activate();
  return {
    /** Calls `handle` with each message, and acknowledges it when `handle` has returned. */
    subscribe(destination, handle) {
      const id = `subscription-${++last}`;
      subscriptions.set(id, { destination, handle });
      if (client.connected) start(id);
    },
    /** Resolves when the broker has taken the message. */
    publish(destination, body, headers = {}) {
      const receipt = `receipt-${++last}`;
      return new Promise((done) => {
        outbox.set(receipt, { destination, headers, body, done });
        if (client.connected) transmit(receipt);
      });
    },
    close: () => client.deactivate(),
  };
}
