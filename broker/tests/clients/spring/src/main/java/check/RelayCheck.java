package check;

import static check.Stomp.check;
import static check.Stomp.equal;
import static check.Stomp.take;

import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Import;
import org.springframework.context.event.EventListener;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.stereotype.Controller;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import stompbroker.StompbrokerRelay;

/**
 * A Spring Boot application with what the operator gives to such: {@code RelayCheck --spring.config.import=file:FILE}, with
 * further properties as Spring takes them.
 */
@SpringBootApplication
@Import(StompbrokerRelay.class)
public class RelayCheck implements WebSocketMessageBrokerConfigurer {
  private static final LinkedBlockingQueue<Boolean> AVAILABLE = new LinkedBlockingQueue<>();

  @Override
  public void configureMessageBroker(MessageBrokerRegistry registry) {
    registry.setApplicationDestinationPrefixes("/app");
  }

  @Override
  public void registerStompEndpoints(StompEndpointRegistry registry) {
    registry.addEndpoint("/app-ws");
  }

  @EventListener
  void availability(BrokerAvailabilityEvent event) {
    AVAILABLE.add(event.isBrokerAvailable());
  }

  @Controller
  static class Greetings {
    @MessageMapping("/greet")
    @SendTo("/topic/greetings")
    String greet(String name) {
      return "Hello, " + name;
    }

    @MessageMapping("/whisper")
    @SendToUser("/queue/replies")
    String whisper(String name) {
      return "Psst, " + name;
    }
  }

  public static void main(String[] arguments) throws Exception {
    var application = new SpringApplication(RelayCheck.class);
    application.setDefaultProperties(Map.of(
        "server.port", 0,
        "spring.main.banner-mode", "off",
        "logging.level.root", "warn"));
    var context = application.run(arguments);
    check(take("the broker to be available", AVAILABLE), "the relay must find the broker");

    var url = "ws://localhost:" + context.getEnvironment().getProperty("local.server.port") + "/app-ws";
    var browser = Stomp.connect(url, null, null);
    var greetings = browser.subscribe("/topic/greetings", true);
    browser.sendUnconfirmed("/app/greet", "Ann");
    equal("Hello, Ann", take("the greeting", greetings).body());

    // A user destination: a queue of the session at the broker, under the name that the browser asked for.
    var replies = browser.subscribe("/user/queue/replies", true);
    browser.sendUnconfirmed("/app/whisper", "Ann");
    equal(new Stomp.Received("/user/queue/replies", "Psst, Ann"), take("the reply", replies));

    // The application itself publishes over the system connection.
    var news = browser.subscribe("/topic/news", true);
    context.getBean(SimpMessagingTemplate.class).convertAndSend("/topic/news", "from the server");
    equal("from the server", take("the news", news).body());
    browser.session.disconnect();
    context.close();
    System.out.println("ok");
    System.exit(0);
  }
}
