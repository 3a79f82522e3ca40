//! What differs between two JSON values, for people (pure).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Longest text of one value.
const LENGTH: usize = 48;

/// A value that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where it is.
    pub path: Vec<String>,
    /// What it was; null when it was not there.
    pub before: Value,
    /// What it will be; null when it is taken away.
    pub after: Value,
}

impl Difference {
    /// The values that differ; a list is one value.
    pub fn all(before: &Value, after: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        walk(&[], before, after, false, &mut found);
        found
    }

    /// The values that differ, also within lists of the same length.
    pub fn within_lists(before: &Value, after: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        walk(&[], before, after, true, &mut found);
        found
    }

    /// `path: before -> after`.
    pub fn to_text(&self) -> String {
        format!("{}: {} -> {}", self.path.join("."), short(&self.before), short(&self.after))
    }
}

fn walk(path: &[String], before: &Value, after: &Value, lists: bool, found: &mut Vec<Difference>) {
    let below = |name: String| path.iter().cloned().chain([name]).collect::<Vec<_>>();
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let field = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                walk(&below(name.clone()), &field(a), &field(b), lists, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if lists && a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                walk(&below(index.to_string()), a, b, lists, found);
            }
        }
        _ if before == after => {}
        _ => found.push(Difference { path: path.to_vec(), before: before.clone(), after: after.clone() }),
    }
}

/// A value in a line.
pub fn short(value: &Value) -> String {
    match value {
        Value::Null => "(absent)".to_owned(),
        Value::Array(items) => format!("({} entries)", items.len()),
        Value::String(text) if text.contains('\n') => format!("({} lines)", text.lines().count()),
        other => {
            let text = other.to_string();
            if text.chars().count() <= LENGTH { text } else { text.chars().take(LENGTH).chain(['…']).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_says_where_it_is_and_cuts_what_is_long() {
        let before = json!({"a": 1, "list": [{"x": "y"}, 2], "same": true, "text": "one\ntwo"});
        let after = json!({"a": 2, "list": [{"x": "z"}, 2], "same": true, "text": "a".repeat(99)});
        let texts = |all: Vec<Difference>| all.iter().map(Difference::to_text).collect::<Vec<_>>();
        let long = format!("text: (2 lines) -> \"{}…", "a".repeat(47));
        assert_eq!(texts(Difference::within_lists(&before, &after)), ["a: 1 -> 2", "list.0.x: \"y\" -> \"z\"", &long]);
        assert_eq!(texts(Difference::all(&before, &after)), ["a: 1 -> 2", "list: (2 entries) -> (2 entries)", &long]);
        assert_eq!(texts(Difference::all(&json!({}), &json!({"b": []}))), ["b: (absent) -> (0 entries)"]);
    }
}
