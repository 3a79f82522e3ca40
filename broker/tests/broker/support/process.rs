//! The binary as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use super::{eventually, within};

/// The binary with these arguments and none of the caller's settings.
pub(crate) fn stompbroker(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompbroker"));
    command.args(arguments).env_remove("STOMPBROKER_CONFIG").env_remove("RUST_LOG");
    command
}

/// A running broker process and the port of its STOMP listener; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it and waits until it serves.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut read = Vec::new();
        let port = loop {
            read.push(lines.next().unwrap().unwrap());
            let line: serde_json::Value = serde_json::from_str(read.last().unwrap()).unwrap();
            if line["message"] == "serving STOMP over TCP" {
                break line["listener"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
            }
        };
        let log = Arc::new(Mutex::new(read));
        let written = Arc::clone(&log);
        let read = move || lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line));
        Self { child, port, log, reader: Some(std::thread::spawn(read)) }
    }

    /// Waits for a line of the log with these words.
    pub(crate) async fn logs(&self, words: &str) -> String {
        eventually(&format!("{words:?} in the log"), async || self.find_log(words)).await
    }

    /// The first line of the log so far with these words.
    pub(crate) fn find_log(&self, words: &str) -> Option<String> {
        self.log.lock().unwrap().iter().find(|line| line.contains(words)).cloned()
    }

    /// Sends it a signal such as `-TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Kills it as the kernel does when memory runs out, and waits until it has gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end; the exit code and the log.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let status = within("the process to end", async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        self.reader.take().unwrap().join().unwrap();
        (status.code(), self.log.lock().unwrap().join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
    }
}
