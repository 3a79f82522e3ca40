package check;

import static check.Stomp.check;
import static check.Stomp.equal;
import static check.Stomp.take;

/** Spring's WebSocketStompClient against the broker: {@code ClientCheck URL}. */
public final class ClientCheck {
  public static void main(String[] arguments) throws Exception {
    var url = arguments[0];
    var ann = Stomp.connect(url, "ann", "pa:ss");
    var topic = ann.subscribe("/topic/prices.eu", true);
    ann.send("/topic/prices.eu", "1.0842 \u20ac: \\ \n \u0001");
    equal(new Stomp.Received("/topic/prices.eu", "1.0842 \u20ac: \\ \n \u0001"), take("the price", topic));

    var queue = ann.subscribe("/queue/orders", true);
    var other = Stomp.connect(url, "ann", "pa:ss");
    for (int number = 0; number < 100; number++) {
      other.sendUnconfirmed("/queue/orders", "order " + number);
    }
    for (int number = 0; number < 100; number++) {
      equal("order " + number, take("order " + number, queue).body());
    }

    // Longer than two heart-beats of one second with nothing else to say.
    Thread.sleep(3500);
    check(ann.session.isConnected(), "heart-beats must keep an idle session");

    other.sendUnconfirmed("/nowhere", "x");
    check(other.problem().startsWith("ERROR"), "an ERROR must come before the end");
    ann.session.disconnect();
    System.out.println("ok");
    System.exit(0);
  }
}
