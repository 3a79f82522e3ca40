package check;

import java.lang.reflect.Type;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.messaging.converter.StringMessageConverter;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/** A WebSocketStompClient whose waits end, and what it has received. */
final class Stomp {
  static final long PATIENCE_SECONDS = 30;

  final StompSession session;
  private final BlockingQueue<String> problems;

  private Stomp(StompSession session, BlockingQueue<String> problems) {
    this.session = session;
    this.problems = problems;
  }

  static Stomp connect(String url, String login, String passcode) throws Exception {
    var scheduler = new ThreadPoolTaskScheduler();
    scheduler.setDaemon(true);
    scheduler.initialize();
    var client = new WebSocketStompClient(new StandardWebSocketClient());
    client.setMessageConverter(new StringMessageConverter());
    client.setTaskScheduler(scheduler);
    client.setDefaultHeartbeat(new long[] {1000, 1000});
    var headers = new StompHeaders();
    if (login != null) {
      headers.setLogin(login);
      headers.setPasscode(passcode);
    }
    var problems = new LinkedBlockingQueue<String>();
    var handler = new StompSessionHandlerAdapter() {
      @Override
      public void handleFrame(StompHeaders headers, Object payload) {
        problems.add("ERROR " + headers.getFirst("message"));
      }

      @Override
      public void handleTransportError(StompSession session, Throwable exception) {
        problems.add("transport " + exception);
      }
    };
    var connecting = client.connectAsync(url, (WebSocketHttpHeaders) null, headers, handler);
    return new Stomp(connecting.get(PATIENCE_SECONDS, TimeUnit.SECONDS), problems);
  }

  /** Subscribes, and waits for the RECEIPT unless the server is one that sends none. */
  BlockingQueue<Received> subscribe(String destination, boolean confirmed) throws Exception {
    var received = new LinkedBlockingQueue<Received>();
    var headers = new StompHeaders();
    headers.setDestination(destination);
    session.setAutoReceipt(confirmed);
    var subscription = session.subscribe(headers, new StompFrameHandler() {
      @Override
      public Type getPayloadType(StompHeaders headers) {
        return String.class;
      }

      @Override
      public void handleFrame(StompHeaders headers, Object payload) {
        received.add(new Received(headers.getDestination(), (String) payload));
      }
    });
    if (confirmed) {
      await("a receipt for the subscription to " + destination, subscription);
    }
    return received;
  }

  void send(String destination, String body) throws Exception {
    session.setAutoReceipt(true);
    await("a receipt for a message to " + destination, session.send(destination, body));
  }

  void sendUnconfirmed(String destination, String body) {
    session.setAutoReceipt(false);
    session.send(destination, body);
  }

  String problem() throws Exception {
    return take("a problem", problems);
  }

  private static void await(String what, StompSession.Receiptable receipt) throws Exception {
    var came = new LinkedBlockingQueue<Boolean>();
    receipt.addReceiptTask(() -> came.add(true));
    receipt.addReceiptLostTask(() -> came.add(false));
    check(take(what, came), what + " was lost");
  }

  static <T> T take(String what, BlockingQueue<T> queue) throws Exception {
    var taken = queue.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
    check(taken != null, "waited in vain for " + what);
    return taken;
  }

  static void check(boolean holds, String otherwise) {
    if (!holds) {
      throw new AssertionError(otherwise);
    }
  }

  static void equal(Object expected, Object found) {
    check(expected.equals(found), "expected " + expected + ", found " + found);
  }

  record Received(String destination, String body) {}
}
