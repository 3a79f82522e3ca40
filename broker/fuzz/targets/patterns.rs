//! Any destination: reading it and looking up its policy never panics, and an alias stands for itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stompbroker::destination::{alias::canonical, is_pattern, segments};

fuzz_target!(|text: &str| {
    let count = segments(text).count();
    assert!(count <= text.len() + 1);
    let _ = is_pattern(text);
    let once = canonical(text);
    assert_eq!(canonical(&once), once, "an alias of an alias");
});
