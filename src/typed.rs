//! Reads a typed object from JSON, with an error that names the field (pure).
//!
//! The text is laid out one value to a line, so that the line of serde_json's error tells the place. A deserializer that keeps account
//! of the place would be compiled once more for every kind of Kubernetes, which made the program larger by a tenth.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why something cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct FieldError {
    /// Path of the field, such as `spec.zones[0].name`; `.` for the object itself.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

/// How problems begin that are those of a whole object or list. All others that are found at its end are of the last in it.
const OF_ALL: [&str; 2] = ["missing field", "invalid length"];

/// Reads a `T`.
///
/// # Errors
/// Names the first field that is not what it should be.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    let text = format!("{value:#}");
    serde_json::from_str(&text).map_err(|error| {
        let problem = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let problem = problem.strip_suffix(&position).unwrap_or(&problem).to_owned();
        FieldError {
            field: place(&text, error.line(), OF_ALL.iter().any(|of_all| problem.starts_with(of_all))),
            problem,
        }
    })
}

/// The path of what stands on a line, counted from 1, of JSON with one value to a line. Where that closes an object or a list, it is
/// the last of what is in there, unless it is said `of_all` of it.
fn place(text: &str, line: usize, of_all: bool) -> String {
    let mut path: Vec<String> = Vec::new();
    let mut last = String::new();
    // How many items of each list that is open were seen; an object has none.
    let mut open: Vec<Option<usize>> = Vec::new();
    for (number, text) in text.lines().enumerate() {
        let text = text.trim().trim_end_matches(',');
        let is_wanted = number + 1 >= line;
        if matches!(text, "}" | "]") {
            if is_wanted {
                path.extend(Some(last).filter(|_| !of_all));
                break;
            }
            open.pop();
            last = path.pop().unwrap_or_default();
            continue;
        }
        let segment = match open.last_mut() {
            None => String::new(),
            Some(Some(count)) => {
                *count += 1;
                format!("[{}]", *count - 1)
            }
            Some(None) => format!(".{}", name(text)),
        };
        path.push(segment);
        if is_wanted {
            break;
        }
        match text.chars().last() {
            Some('{') => open.push(None),
            Some('[') => open.push(Some(0)),
            _ => last = path.pop().unwrap_or_default(),
        }
    }
    let path = path.concat();
    if path.is_empty() { ".".to_owned() } else { path.trim_start_matches('.').to_owned() }
}

/// The name in `"name": value`.
fn name(text: &str) -> String {
    serde_json::Deserializer::from_str(text).into_iter::<String>().next().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Port {
        name: String,
        port: u16,
    }

    type Ports = BTreeMap<String, BTreeMap<String, Vec<Port>>>;

    fn wrong(value: &Value) -> String {
        read::<Ports>(value).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_is_refused_only_when_it_was_read_is_named_wherever_it_stands() {
        type Addresses = BTreeMap<String, Vec<std::net::IpAddr>>;
        for (value, field) in [
            (json!({"a": ["::1", "x"], "b": []}), "a[1]"),
            (json!({"a": ["x", "::1"]}), "a[0]"),
            (json!({"a": [], "b": ["::1", "::1", "x"]}), "b[2]"),
        ] {
            assert_eq!(read::<Addresses>(&value).unwrap_err().field, field);
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let port = |name: Value, port: Value| json!({"name": name, "port": port});
        let good = port(json!("a"), json!(1));
        assert!(read::<Ports>(&json!({"x": {}, "y": {"z": [good]}})).is_ok());
        let list = json!({"first": {"empty": [], "full": [good, good]}, "sp.ec": {"a, \"b\": {": [good, port(json!("]"), json!("1"))]}});
        assert_eq!(wrong(&list), r#"sp.ec.a, "b": {[1].port: invalid type: string "1", expected u16"#);
        assert_eq!(
            wrong(&json!({"x": {"y": [good, port(json!("a"), json!(70_000))]}})),
            "x.y[1].port: invalid value: integer `70000`, expected u16"
        );
        assert_eq!(
            wrong(&json!({"x": {"y": [port(json!({"deep": [1]}), json!(1))]}})),
            "x.y[0].name: invalid type: map, expected a string"
        );
        assert_eq!(wrong(&json!({"x": {"y": [good, {"name": "a"}, good]}})), "x.y[1]: missing field `port`");
        assert_eq!(wrong(&json!({"x": {"y": 5}})), "x.y: invalid type: integer `5`, expected a sequence");
        assert_eq!(wrong(&json!({"x": {"y": [{"port": 1}]}})), "x.y[0]: missing field `name`");
        assert_eq!(wrong(&json!([])), ".: invalid type: sequence, expected a map");
    }
}
