//! The embedded engine, and the documentation, against the table of behaviours.

use tempfile::TempDir;

use crate::behaviours_table::{Engine, Pod, World, check_documentation, hold};

/// A pod with a volume.
struct Embedded {
    store: TempDir,
    pod: Pod,
}

impl Embedded {
    fn start() -> Self {
        let store = tempfile::tempdir().unwrap();
        let pod = Self::pod(&store);
        Self { store, pod }
    }

    fn pod(store: &TempDir) -> Pod {
        let directory = store.path().display();
        let keys = format!("drain: {{delay: 0s}}\nengine: {{embedded: {{persistence: {{directory: {directory}}}}}}}");
        Pod::start(Engine::Embedded, &keys)
    }
}

impl World for Embedded {
    fn pod(&self) -> &Pod {
        &self.pod
    }

    async fn restart(&mut self) {
        self.pod.broker.shutdown.cancel();
        self.pod.broker.ended().await;
        self.pod = Self::pod(&self.store);
    }

    async fn wrong_password(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn clients_of_the_embedded_engine_see_what_the_table_says() {
    hold(Embedded::start()).await;
}

#[test]
fn the_documentation_of_engines_has_the_table() {
    check_documentation();
}
