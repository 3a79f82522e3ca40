//! What `render` prints for every example, octet by octet. `UPDATE_GOLDEN=1` writes the files anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod fixtures;

use std::{env, fs, path::PathBuf};

use fixtures::{examples, path};
use stompbroker_operator::cli::{RenderArgs, RenderError, render};

fn args(file: PathBuf) -> RenderArgs {
    RenderArgs {
        files: vec![file],
        namespace: "markets".to_owned(),
        broker_image: "registry.example/stompbroker:1".to_owned(),
        nats_image: "registry.example/nats:2".to_owned(),
        operator_namespace: "operators".to_owned(),
        custom_metrics: true,
        cluster_domain: "cluster.local".to_owned(),
    }
}

fn rendered(file: PathBuf) -> String {
    let mut out = Vec::new();
    render(&args(file), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn examples_lead_to_the_objects_they_led_to() {
    for (name, file) in examples() {
        let golden = path("tests/golden/examples").join(format!("{name}.yaml"));
        let text = rendered(file);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let first = text.lines().zip(expected.lines()).position(|(a, b)| a != b);
        assert!(
            text == expected,
            "{name} differs from {} from line {} on; look at it, and run with UPDATE_GOLDEN=1 if it is meant",
            golden.display(),
            first.unwrap_or_else(|| text.lines().count().min(expected.lines().count())) + 1,
        );
    }
}

#[test]
fn every_golden_file_belongs_to_an_example() {
    let names: Vec<_> = examples().into_iter().map(|(name, _)| format!("{name}.yaml")).collect();
    for entry in fs::read_dir(path("tests/golden/examples")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&file), "{file}");
    }
}

#[test]
fn no_random_value_is_printed() {
    for (name, file) in examples() {
        let text = rendered(file);
        let kept = text.lines().filter(|line| line.trim_start().starts_with("password:") || line.contains("  token:"));
        assert_eq!(kept.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}");
        assert!(text.contains("# password: random"), "{name}");
    }
}

#[test]
fn a_manifest_that_cannot_work_is_refused_with_file_name_and_field() {
    let file = env::temp_dir().join(format!("stompbroker-render-{}.yaml", std::process::id()));
    fs::write(&file, fixtures::manifest_text("trading", "{replicas: 3, drain: {deadline: 1s}}")).unwrap();
    let error = render(&args(file.clone()), &mut Vec::new()).unwrap_err();
    fs::remove_file(&file).unwrap();
    let text = error.to_string();
    assert!(matches!(error, RenderError::Refused { .. }), "{text}");
    for part in [file.to_str().unwrap(), "trading", "spec.replicas", "spec.engine.relay", "spec.drain.deadline is 1s"] {
        assert!(text.contains(part), "{text} does not say {part}");
    }
}
