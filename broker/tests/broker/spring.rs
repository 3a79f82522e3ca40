//! Spring against the broker, as a client and as a server whose broker relay points here: by what the operator gives to such.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Authority, BrokerUnderTest, assert_ok, eventually, script};

const CONFIG: &str = "listeners: {stomp: {port: 0}, websocket: {port: 0, path: /chat}}\n\
                      admin: {port: 0, tokenFile: FOLDER/token}\n\
                      credentials: {client: {directory: FOLDER/client}, system: {directory: FOLDER/system}}\n\
                      heartbeat: 1s\n";

fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, user, password) in [("client", "ann", "pa:ss"), ("system", "system", "sys:tem")] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("username"), user).unwrap();
        fs::write(folder.path().join(name).join("password"), password).unwrap();
    }
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    folder
}

/// `java` with one of the classes of `tests/clients/spring`, which are built first where they are not there.
pub(crate) async fn java(class: &str) -> Command {
    let setup = Command::new(script("spring/setup")).output().await.unwrap();
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    let folder = PathBuf::from(String::from_utf8(setup.stdout).unwrap().trim());
    let mut command = Command::new("java");
    let path = format!("{}:{}", folder.join("classes").display(), folder.join("lib/*").display());
    command.args(["-XX:+UseSerialGC", "-Xmx256m", "-cp", &path, class]);
    command
}

#[tokio::test]
async fn springs_websocket_client_works() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let mut command = java("check.ClientCheck").await;
    command.arg(format!("ws://127.0.0.1:{}/chat", broker.websocket().port()));
    assert_ok(command).await;
}

/// The ConfigMap for Spring applications that the operator renders for one of the examples.
fn rendered(example: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/examples");
    let text = fs::read_to_string(folder.join(example)).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let is_it = |object: &Value| object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(".spring"));
    documents.into_iter().find(is_it).unwrap_or_else(|| panic!("{example} has no ConfigMap for Spring"))
}

/// The check of an application with that ConfigMap and both Secrets in `folder`, as a kubelet mounts them, at this broker.
async fn relay_check(example: &str, folder: &Path, broker: &BrokerUnderTest) -> Command {
    let config_map = rendered(example);
    let name = config_map["metadata"]["name"].as_str().unwrap().trim_end_matches(".spring");
    let data = folder.join("bindings/..data");
    fs::create_dir_all(&data).unwrap();
    for login in ["system", "client"] {
        let secret = format!("{name}-{login}");
        fs::create_dir(data.join(&secret)).unwrap();
        for key in ["username", "password"] {
            fs::copy(folder.join(login).join(key), data.join(&secret).join(key)).unwrap();
        }
        symlink(format!("..data/{secret}"), folder.join("bindings").join(secret)).unwrap();
    }
    let properties = folder.join("stompbroker.yaml");
    fs::write(&properties, config_map["data"]["stompbroker.yaml"].as_str().unwrap()).unwrap();
    let mut command = java("check.RelayCheck").await;
    command.env("SERVICE_BINDING_ROOT", folder.join("bindings"));
    command.arg(format!("--spring.config.import=file:{}", properties.display()));
    // What is not so on this machine.
    command.arg("--stompbroker.relay.host=127.0.0.1");
    command.arg(format!("--stompbroker.relay.port={}", broker.stomp().port()));
    command
}

#[tokio::test]
async fn springs_broker_relay_works_as_the_operator_sets_it_up_and_leaves_no_queue_behind() {
    let broker = BrokerUnderTest::start_in(secrets(), CONFIG);
    let folder = secrets();
    let mut command = relay_check("minimal.yaml", folder.path(), &broker).await;
    command.arg("--stompbroker.relay.user-destination-broadcast=/topic/unresolved-user");
    command.arg("--stompbroker.relay.user-registry-broadcast=/topic/registry");
    assert_ok(command).await;
    eventually("the queues of user destinations to vanish", async || {
        let stats = broker.admin("GET", "/websocket-stats").await;
        assert_eq!(stats.status, 200, "{}", stats.body);
        (!stats.body.contains("-user")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn springs_broker_relay_works_over_tls_as_the_operator_sets_it_up() {
    let (authority, mounted) = (Authority::new(), secrets());
    authority.issue(&mounted.path().join("tls"));
    let tls = "stomp: {port: 0, tls: {directory: FOLDER/tls}}";
    let broker = BrokerUnderTest::start_in(mounted, &CONFIG.replace("stomp: {port: 0}", tls));
    let folder = secrets();
    let mut command = relay_check("tls-and-tokens.yaml", folder.path(), &broker).await;
    let trusted = folder.path().join("ca.crt");
    authority.write_certificate(&trusted);
    command.env("STOMPBROKER_CA", trusted);
    command.arg("--stompbroker.relay.tls=true"); // its unencrypted port is the one of the binding
    assert_ok(command).await;
}

#[test]
fn the_class_that_is_compiled_here_is_the_one_that_applications_are_given() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/plan/spring/StompbrokerRelay.java");
    let compiled = fs::read_to_string(source).unwrap();
    assert_eq!(rendered("minimal.yaml")["data"]["StompbrokerRelay.java"].as_str(), Some(compiled.as_str()));
}
