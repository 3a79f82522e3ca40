//! What the documents say, held against what is there: manifests, `make` targets, links.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

#[path = "fixtures/documents.rs"]
mod documents;
mod fixtures;

use std::{fs, path::Path};

use documents::{blocks, commands, documents, stale, tested};
use fixtures::{assume_references, path, schema};
use kube::core::cel::Validator;
use serde_json::Value;
use stompbroker_operator::{cli, validate::validate};

#[test]
fn every_manifest_in_the_documents_is_accepted_by_schema_and_operator() {
    let mut seen = 0;
    for (file, text) in documents() {
        for block in blocks(&text, "yaml").into_iter().filter(|block| block.contains("kind: StompBroker")) {
            for document in serde_saphyr::from_multiple::<Value>(block).unwrap() {
                if let Err(errors) = Validator::new().validate(&schema(), &document, None) {
                    panic!("{}: {errors}\n{block}", file.display());
                }
            }
            for mut broker in cli::brokers(block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", file.display()))
            {
                broker.metadata.namespace = Some("markets".to_owned());
                if let Err(errors) = validate(&broker, &assume_references(&broker)) {
                    panic!("{}: {errors:?}\n{block}", file.display());
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 3, "only {seen} manifests were found, so they are not looked for as they are written");
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = fs::read_to_string(path("Makefile")).unwrap();
    let mut seen = 0;
    for command in commands() {
        let Some(target) = command.line.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) else {
            continue;
        };
        let rule = format!("\n{target}:");
        assert!(makefile.contains(&rule), "{}: there is no target {target}", command.file.display());
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} targets were found, so they are not looked for as they are written");
}

#[test]
fn every_command_in_the_documents_is_tested_or_says_why_not() {
    let commands = commands();
    for command in &commands {
        assert!(
            tested(&command.line).is_some(),
            "{}: say in tests/fixtures/documents.rs how this is tested: {}",
            command.file.display(),
            command.line
        );
    }
    assert_eq!(stale(&commands), Vec::<&str>::new(), "no document has them, or the file that tests them is not there");
}

/// The name that a heading has as a target of links.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn headings(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut seen = 0;
    for (file, text) in documents() {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", file.display());
            if let Some(heading) = heading {
                let known = headings(&target);
                assert!(
                    known.iter().any(|one| one == heading),
                    "{}: {link} has no such heading: {known:?}",
                    file.display()
                );
            }
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} links were found, so they are not looked for as they are written");
}
