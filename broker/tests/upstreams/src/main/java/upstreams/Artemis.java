package upstreams;

import java.util.Map;
import java.util.Set;
import org.apache.activemq.artemis.api.core.SimpleString;
import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.config.impl.SecurityConfiguration;
import org.apache.activemq.artemis.core.security.Role;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;
import org.apache.activemq.artemis.core.settings.impl.AddressSettings;
import org.apache.activemq.artemis.spi.core.security.ActiveMQJAASSecurityManager;
import org.apache.activemq.artemis.spi.core.security.jaas.InVMLoginModule;

/** Artemis with STOMP on the loopback: {@code Artemis PORT FOLDER USER PASSWORD}. */
public final class Artemis {
  public static void main(String[] arguments) throws Exception {
    var configuration = new ConfigurationImpl();
    configuration.setName("upstream");
    configuration.setSecurityEnabled(true);
    configuration.setJournalDirectory(arguments[1] + "/journal");
    configuration.setBindingsDirectory(arguments[1] + "/bindings");
    configuration.setLargeMessagesDirectory(arguments[1] + "/large");
    configuration.setPagingDirectory(arguments[1] + "/paging");
    configuration.setMaxDiskUsage(-1);
    // The prefixes are what tells topics from queues; they are not part of the names.
    configuration.addAcceptorConfiguration("stomp", "tcp://127.0.0.1:" + arguments[0]
        + "?protocols=STOMP;anycastPrefix=/queue/;multicastPrefix=/topic/;stompEnableMessageId=true");
    var all = new Role("all", true, true, true, true, true, true, true, true, true, true, true, true);
    configuration.getSecurityRoles().put("#", Set.of(all));
    configuration.getAddressSettings().put("#", new AddressSettings()
        .setDeadLetterAddress(SimpleString.of("DLQ")).setAutoCreateDeadLetterResources(true));
    var users = new SecurityConfiguration();
    users.addUser(arguments[2], arguments[3]);
    users.addRole(arguments[2], "all");
    var server = new EmbeddedActiveMQ();
    server.setConfiguration(configuration);
    server.setSecurityManager(new ActiveMQJAASSecurityManager(InVMLoginModule.class.getName(), users));
    server.start();
    Thread.currentThread().join();
  }
}
