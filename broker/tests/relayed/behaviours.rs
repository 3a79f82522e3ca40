//! The relay before each upstream that it is made for against the table of behaviours.

use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::{
    any_broker::{Peer as _, eventually},
    behaviours_table::{Engine, Pod, World, hold},
    servers::{self, Kind, LOGIN, Server},
    support::engine,
};

/// A pod before an upstream of its own.
struct Relayed {
    server: Server,
    login: TempDir,
    pod: Pod,
}

impl Relayed {
    fn start(kind: Kind) -> Self {
        let (server, login) = (block_in_place(|| Server::start(kind)), tempfile::tempdir().unwrap());
        let pod = Self::pod(&server, login.path(), LOGIN.1);
        Self { server, login, pod }
    }

    fn pod(server: &Server, folder: &Path, password: &str) -> Pod {
        let directory = folder.join(password);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("username"), LOGIN.0).unwrap();
        fs::write(directory.join("password"), password).unwrap();
        let engine_of_the_column = match server.kind() {
            Kind::RabbitMq => Engine::RabbitMq,
            Kind::ActiveMq => Engine::ActiveMq,
            Kind::Artemis => Engine::Artemis,
        };
        Pod::start(engine_of_the_column, &engine(server, &directory, ""))
    }
}

impl World for Relayed {
    fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Sessions that have used it meanwhile see the words of Spring's relay.
    async fn restart(&mut self) {
        let mut client = self.pod.broker.tcp_session().await;
        client.subscribe("0", "/topic/a").await;
        block_in_place(|| self.server.stop());
        client.frame().await.assert_error("Broker not available.");
        block_in_place(|| self.server.run());
    }

    async fn wrong_password(&self) -> Option<String> {
        let pod = Self::pod(&self.server, self.login.path(), "wrong");
        let state = async || {
            let status = pod.broker.admin("GET", "/status").await.json();
            let state = status["relay"]["upstreams"][0]["state"].as_str().unwrap_or_default().to_owned();
            (!["", "Idle"].contains(&&*state)).then_some(state)
        };
        Some(format!("`{}`", eventually("the upstream to be tried", state).await))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_before_rabbitmq_see_what_the_table_says() {
    let _turn = servers::turn().await;
    hold(Relayed::start(Kind::RabbitMq)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_before_activemq_see_what_the_table_says() {
    let _turn = servers::turn().await;
    hold(Relayed::start(Kind::ActiveMq)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_before_artemis_see_what_the_table_says() {
    let _turn = servers::turn().await;
    hold(Relayed::start(Kind::Artemis)).await;
}
