//! Every `kubectl stompbroker` in the documents is a command line that the plugin takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step ends its test")]

use std::{fs, path::Path};

use clap::Parser as _;
use kubectl_stompbroker::cli::Cli;

#[test]
fn every_command_in_the_documents_is_one_that_the_plugin_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files: Vec<_> = ["README.md", "broker/README.md"].map(|name| root.join(name)).into();
    files.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = 0;
    for file in files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&file).unwrap();
        let in_console = text.lines().filter_map(|line| line.strip_prefix("$ kubectl stompbroker "));
        let in_words = text.split("`kubectl stompbroker ").skip(1).map(|rest| rest.split('`').next().unwrap());
        for command in in_console.chain(in_words) {
            let words = command.split('#').next().unwrap().split_whitespace();
            let line = ["kubectl-stompbroker"].into_iter().chain(words);
            if let Err(error) = Cli::try_parse_from(line) {
                panic!("{}: kubectl stompbroker {command}: {error}", file.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} commands were found, so they are not looked for as they are written");
}
