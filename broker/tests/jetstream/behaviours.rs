//! This engine against the table of behaviours.

use std::fs;

use tempfile::TempDir;

use crate::{
    behaviours_table::{Engine, Pod, World, hold},
    faults::not_ready,
    nats::Nats,
    support::engine_with,
};

/// A pod over a NATS that wants a password.
struct JetStream {
    nats: Nats,
    login: TempDir,
    pod: Pod,
}

impl JetStream {
    fn start() -> Self {
        let (nats, login) =
            (Nats::start("authorization {user: relay, password: secret}"), tempfile::tempdir().unwrap());
        let pod = Self::pod(&nats, &login, "secret");
        Self { nats, login, pod }
    }

    fn pod(nats: &Nats, login: &TempDir, password: &str) -> Pod {
        let directory = login.path().join(password);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("username"), "relay").unwrap();
        fs::write(directory.join("password"), password).unwrap();
        let (url, directory) = (nats.url(), directory.display());
        let keys = format!("servers: ['{url}'], prefix: {}, credentials: {{directory: {directory}}}", Nats::prefix());
        Pod::start(Engine::JetStream, &engine_with(&keys))
    }
}

impl World for JetStream {
    fn pod(&self) -> &Pod {
        &self.pod
    }

    async fn restart(&mut self) {
        self.nats.kill();
        not_ready(&self.pod.broker, "Unreachable").await;
        self.nats.run();
    }

    async fn wrong_password(&self) -> Option<String> {
        let pod = Self::pod(&self.nats, &self.login, "wrong");
        not_ready(&pod.broker, "AuthFailed").await;
        Some("`AuthFailed`".to_owned())
    }
}

#[tokio::test]
async fn clients_of_this_engine_see_what_the_table_says() {
    hold(JetStream::start()).await;
}
