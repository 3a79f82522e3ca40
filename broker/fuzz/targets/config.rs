//! Any text as `broker.yaml`: an error or a configuration, and a configuration that is written reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stompbroker_config::Config;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(text) {
        let written = config.to_yaml().unwrap_or_else(|error| panic!("{error}"));
        match Config::parse(&written) {
            Ok(again) => assert_eq!(again, config),
            Err(error) => panic!("{error}\n{written}"),
        }
    }
});
