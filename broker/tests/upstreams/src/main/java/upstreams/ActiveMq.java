package upstreams;

import java.io.File;
import java.util.List;
import org.apache.activemq.broker.BrokerPlugin;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.security.AuthenticationUser;
import org.apache.activemq.security.SimpleAuthenticationPlugin;

/** ActiveMQ Classic with STOMP on the loopback: {@code ActiveMq PORT FOLDER USER PASSWORD}. */
public final class ActiveMq {
  public static void main(String[] arguments) throws Exception {
    var broker = new BrokerService();
    broker.setBrokerName("upstream");
    broker.setUseJmx(false);
    broker.setUseShutdownHook(false);
    broker.setDataDirectoryFile(new File(arguments[1]));
    var users = List.of(new AuthenticationUser(arguments[2], arguments[3], "all"));
    broker.setPlugins(new BrokerPlugin[] {new SimpleAuthenticationPlugin(users)});
    broker.addConnector("stomp://127.0.0.1:" + arguments[0]);
    broker.start();
    broker.waitUntilStopped();
  }
}
