//! Where in a YAML text the value of a key stands, for errors that are found only after parsing.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;

/// The line of the value at `path` (`listeners.websocket.path`, `rules[2].allow`), or of its nearest ancestor that the
/// text spells out, for a default stands nowhere. Counted from 1; none when the text is not YAML.
pub(crate) fn line_of(text: &str, path: &str) -> Option<u64> {
    let mut node: Spanned<Node> = serde_saphyr::from_str(text).ok()?;
    let mut line = node.referenced.line();
    for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')) {
        let Some(child) = node.value.0.remove(step) else { break };
        line = child.referenced.line();
        node = child;
    }
    Some(line)
}

/// A YAML node without its value: only what is inside it.
struct Node(BTreeMap<String, Spanned<Node>>);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut children = BTreeMap::new();
                while let Some((key, child)) = map.next_entry()? {
                    children.insert(key, child);
                }
                Ok(Node(children))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
                let mut children = BTreeMap::new();
                while let Some(child) = sequence.next_element()? {
                    children.insert(children.len().to_string(), child);
                }
                Ok(Node(children))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node(BTreeMap::new()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node(BTreeMap::new()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node(BTreeMap::new()))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node(BTreeMap::new()))
            }
            fn visit_str<E>(self, _: &str) -> Result<Node, E> {
                Ok(Node(BTreeMap::new()))
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node(BTreeMap::new()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "listeners:\n  stomp: {port: 1}\n  websocket:\n    port: 2\n    path: ws\nrules:\n  - a\n  - b: 1\n";

    #[test]
    fn finds_the_line_of_a_value_in_maps_lists_and_flow_style() {
        for (path, line) in
            [("listeners.websocket.path", 5), ("listeners.stomp.port", 2), ("rules[1].b", 8), ("rules[0]", 7)]
        {
            assert_eq!(line_of(TEXT, path), Some(line), "{path}");
        }
    }

    #[test]
    fn a_value_that_is_not_spelled_out_has_the_line_of_its_nearest_ancestor() {
        assert_eq!(line_of(TEXT, "listeners.stomp.host"), Some(2));
        assert_eq!(line_of(TEXT, "sessionTimeout"), Some(1));
    }
}
