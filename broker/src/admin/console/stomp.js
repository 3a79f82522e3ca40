// STOMP 1.2 over a WebSocket: as much of a client as a page needs that watches and sends.

const ESCAPES = { "\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c" };
const UNESCAPES = { "\\\\": "\\", "\\r": "\r", "\\n": "\n", "\\c": ":" };
const HEARTBEAT = 10_000;

export function encode(command, headers, body = "") {
  // The headers of CONNECT are sent as they are, see "Value Encoding" in STOMP 1.2.
  const escape = command === "CONNECT" ? String : (text) => String(text).replace(/[\\\r\n:]/g, (c) => ESCAPES[c]);
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name)}:${escape(value)}\n`);
  return `${command}\n${lines.join("")}\n${body}\0`;
}

export function decode(text) {
  const end = text.indexOf("\n\n");
  const [command, ...lines] = text.slice(0, end).split("\n");
  const unescape = (part) => part.replace(/\\[\\rnc]/g, (escaped) => UNESCAPES[escaped]);
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[unescape(line.slice(0, colon))] ??= unescape(line.slice(colon + 1));
  }
  return { command, headers, body: text.slice(end + 2, -1) };
}

export class Stomp {
  #socket;
  #beat;
  #next = 0;
  #receivers = new Map();

  // onOpen(headers), onEnd(why): exactly one onEnd follows, whatever happens.
  constructor(url, { login, passcode, onOpen, onEnd }) {
    let why = "";
    this.#socket = new WebSocket(url, ["v12.stomp"]);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#write("CONNECT", {
      "accept-version": "1.2",
      host: location.hostname,
      "heart-beat": `${HEARTBEAT},${HEARTBEAT}`,
      ...(login && { login, passcode }),
    });
    this.#socket.onmessage = ({ data }) => {
      const text = typeof data === "string" ? data : new TextDecoder().decode(data);
      if (text === "\n") return;
      const frame = decode(text);
      if (frame.command === "CONNECTED") {
        this.#beat = setInterval(() => this.#socket.send("\n"), HEARTBEAT * 0.7);
        onOpen(frame.headers);
      } else if (frame.command === "MESSAGE") {
        this.#receivers.get(frame.headers.subscription)?.(frame);
      } else if (frame.command === "ERROR") {
        why = frame.body || frame.headers.message;
      }
    };
    this.#socket.onclose = ({ code, reason }) => {
      clearInterval(this.#beat);
      onEnd(why || reason || `the connection ended (${code})`);
    };
  }

  subscribe(destination, receive) {
    const id = String(this.#next++);
    this.#receivers.set(id, receive);
    this.#write("SUBSCRIBE", { id, destination, ack: "auto" });
    return () => {
      this.#receivers.delete(id);
      this.#write("UNSUBSCRIBE", { id });
    };
  }

  send(destination, type, body) {
    const length = new TextEncoder().encode(body).length;
    this.#write("SEND", { destination, "content-type": type, "content-length": length }, body);
  }

  close() {
    this.#socket.close(1000);
  }

  #write(command, headers, body) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(encode(command, headers, body));
  }
}
