package stompbroker;

import io.netty.handler.ssl.SslContextBuilder;
import java.io.File;
import java.time.Duration;
import java.util.List;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.messaging.simp.stomp.StompReactorNettyCodec;
import org.springframework.messaging.tcp.TcpOperations;
import org.springframework.messaging.tcp.reactor.ReactorNettyTcpClient;
import org.springframework.util.StringUtils;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import reactor.netty.tcp.TcpSslContextSpec;

/**
 * Relays to the StompBroker whose {@code stompbroker.yaml} the application imports. Put it into the application, in a package
 * that is scanned or by {@code @Import}; endpoints and application prefixes stay in the application's own configurer. Needs
 * Spring Boot 3 or later, {@code spring-boot-starter-websocket} and {@code reactor-netty-core}.
 */
@Configuration(proxyBeanMethods = false)
@EnableWebSocketMessageBroker
@EnableConfigurationProperties(StompbrokerRelay.Relay.class)
public class StompbrokerRelay implements WebSocketMessageBrokerConfigurer {
  private final Relay relay;

  StompbrokerRelay(Relay relay) {
    this.relay = relay;
  }

  @Override
  public void configureMessageBroker(MessageBrokerRegistry registry) {
    var registration = registry.enableStompBrokerRelay(relay.destinationPrefixes().toArray(String[]::new))
        .setRelayHost(relay.host()).setRelayPort(relay.port())
        .setSystemLogin(relay.systemLogin()).setSystemPasscode(relay.systemPasscode())
        .setClientLogin(relay.clientLogin()).setClientPasscode(relay.clientPasscode())
        .setSystemHeartbeatSendInterval(relay.heartbeat().toMillis())
        .setSystemHeartbeatReceiveInterval(relay.heartbeat().toMillis());
    if (relay.tls()) {
      registration.setTcpClient(overTls());
    }
    if (relay.userDestinationBroadcast() != null) {
      registration.setUserDestinationBroadcast(relay.userDestinationBroadcast());
    }
    if (relay.userRegistryBroadcast() != null) {
      registration.setUserRegistryBroadcast(relay.userRegistryBroadcast());
    }
  }

  private TcpOperations<byte[]> overTls() {
    var tls = TcpSslContextSpec.forClient().configure(this::trust);
    return new ReactorNettyTcpClient<>(
        client -> client.host(relay.host()).port(relay.port())
            .secure(connection -> connection.sslContext(tls).handlerConfigurator(handler -> {
              // The certificate has to be one for the host, which connections over TCP do not check by themselves.
              var parameters = handler.engine().getSSLParameters();
              parameters.setEndpointIdentificationAlgorithm("HTTPS");
              handler.engine().setSSLParameters(parameters);
            })),
        new StompReactorNettyCodec());
  }

  private void trust(SslContextBuilder builder) {
    if (StringUtils.hasText(relay.trustCertificate())) {
      builder.trustManager(new File(relay.trustCertificate()));
    }
  }

  /** The properties of {@code stompbroker.yaml}. */
  @ConfigurationProperties("stompbroker.relay")
  record Relay(
      String host,
      int port,
      boolean tls,
      String trustCertificate,
      List<String> destinationPrefixes,
      Duration heartbeat,
      String systemLogin,
      String systemPasscode,
      String clientLogin,
      String clientPasscode,
      String userDestinationBroadcast,
      String userRegistryBroadcast) {

    /** Without the passcodes. */
    @Override
    public String toString() {
      return host + ":" + port;
    }
  }
}
