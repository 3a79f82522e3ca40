package shared;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.Principal;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.event.EventListener;
import org.springframework.core.env.Environment;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.messaging.simp.user.SimpUserRegistry;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;

/**
 * An application whose upstream is that of pods of the broker: {@code UsersCheck HOST PORT LOGIN PASSCODE}. It does what the
 * lines of its input say, and answers each with one line. In a package of its own, for an application takes all of its package.
 */
@SpringBootApplication
@EnableWebSocketMessageBroker
public class UsersCheck implements WebSocketMessageBrokerConfigurer {
  private static final LinkedBlockingQueue<Boolean> AVAILABLE = new LinkedBlockingQueue<>();
  private final Environment environment;

  UsersCheck(Environment environment) {
    this.environment = environment;
  }

  @Override
  public void configureMessageBroker(MessageBrokerRegistry registry) {
    var login = environment.getRequiredProperty("relay.login");
    var passcode = environment.getRequiredProperty("relay.passcode");
    registry.enableStompBrokerRelay("/topic", "/queue")
        .setRelayHost(environment.getRequiredProperty("relay.host"))
        .setRelayPort(environment.getRequiredProperty("relay.port", Integer.class))
        .setVirtualHost("/")
        .setSystemLogin(login).setSystemPasscode(passcode)
        .setClientLogin(login).setClientPasscode(passcode)
        .setUserDestinationBroadcast("/topic/unresolved-user")
        .setUserRegistryBroadcast("/topic/registry");
  }

  @Override
  public void registerStompEndpoints(StompEndpointRegistry registry) {
    // Who connects with ?user=NAME is NAME.
    registry.addEndpoint("/app-ws").setHandshakeHandler(new DefaultHandshakeHandler() {
      @Override
      protected Principal determineUser(
          ServerHttpRequest request, WebSocketHandler handler, Map<String, Object> attributes) {
        var name = request.getURI().getQuery().replace("user=", "");
        return () -> name;
      }
    });
  }

  @EventListener
  void availability(BrokerAvailabilityEvent event) {
    AVAILABLE.add(event.isBrokerAvailable());
  }

  private static void answer(Object what) {
    System.out.println("answer: " + what);
  }

  public static void main(String[] arguments) throws Exception {
    var application = new SpringApplication(UsersCheck.class);
    application.setDefaultProperties(Map.of(
        "server.port", 0,
        "spring.main.banner-mode", "off",
        "logging.level.root", "error",
        "relay.host", arguments[0],
        "relay.port", arguments[1],
        "relay.login", arguments[2],
        "relay.passcode", arguments[3]));
    var context = application.run();
    // Whoever started it waits for no longer than it likes.
    AVAILABLE.take();
    answer(context.getEnvironment().getProperty("local.server.port"));

    var template = context.getBean(SimpMessagingTemplate.class);
    var users = context.getBean(SimpUserRegistry.class);
    var input = new BufferedReader(new InputStreamReader(System.in));
    for (var line = input.readLine(); line != null; line = input.readLine()) {
      var words = line.split(" ", 4);
      switch (words[0]) {
        case "send" -> {
          template.convertAndSendToUser(words[1], words[2], words[3]);
          answer("sent");
        }
        // How many sessions the user has, at all servers together.
        case "sessions" -> {
          var user = users.getUser(words[1]);
          answer(user == null ? 0 : user.getSessions().size());
        }
        default -> throw new IllegalArgumentException(line);
      }
    }
    System.exit(0);
  }
}
