use proptest::prelude::*;

use super::*;

const HEADERS: [(&str, &str); 9] = [
    ("color", "red"),
    ("price", "12.5"),
    ("count", "7"),
    ("urgent", "true"),
    ("empty", ""),
    ("content-type", "text/plain"),
    ("note", "100% o'clock_x"),
    ("big", "9007199254740993"),
    ("AND.x", "1"),
];

fn message() -> Message {
    let headers = HEADERS.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Message::new("id-1".into(), "/queue/a".into(), headers, "body".into(), true)
}

#[track_caller]
fn matches(text: &str) -> bool {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).matches(&message())
}

#[test]
fn conditions_that_hold() {
    for text in [
        "color = 'red'",
        "color <> 'blue' AND color != 'green'",
        "price > 12 and price < 12.75",
        "price >= 12.5 AND price <= 12.5",
        "count + 1 = 8",
        "count * 2 - 4 = 10",
        "count / 2 = 3",
        "count % 4 = 3",
        "-count = -7 AND +count = 7 AND - -count = 7",
        "2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20",
        "10 - 3 - 2 = 5",
        "count BETWEEN 7 AND 9 AND count NOT BETWEEN 8 AND 9",
        "color IN ('blue', 'red') AND color NOT IN ('blue')",
        "count IN (1, 7)",
        "color LIKE 'r%' AND color LIKE '_e_' AND color LIKE '%' AND color NOT LIKE 'r'",
        "note LIKE '100!% o''clock!__' ESCAPE '!'",
        "missing IS NULL AND color IS NOT NULL AND empty IS NOT NULL",
        "urgent = TRUE AND urgent AND NOT urgent = FALSE",
        "TRUE OR missing = 1",
        "color = 'blue' OR color = 'red' AND count = 7",
        "NOT (color = 'blue' OR count = 8)",
        "\"content-type\" = 'text/plain'",
        "hyphenated_props:content-type = 'text/plain'",
        "convert_string_expressions:hyphenated_props:content-type LIKE 'text/%' AND count > 6",
        "\"AND.x\" = 1",
        "1e2 = 100 AND .5 < 1",
        "big > 9007199254740992",
        "JMSPriority = 4 AND JMSDeliveryMode = 'NON_PERSISTENT'",
        "JMSMessageID = 'id-1' AND JMSDestination = '/queue/a'",
        "count = price - 5.5",
    ] {
        assert!(matches(text), "{text}");
    }
}

#[test]
fn what_is_false_or_unknown_does_not_match() {
    for text in [
        "color = 'Red'",
        "Color = 'red'",
        "missing = 'x'",
        "missing <> 'x'",
        "NOT missing = 'x'",
        "missing = missing",
        "missing IN ('x')",
        "missing NOT IN ('x')",
        "missing LIKE '%'",
        "NOT missing LIKE '%'",
        "missing BETWEEN 1 AND 2",
        "NOT missing BETWEEN 1 AND 2",
        "missing",
        "NOT missing",
        "color",
        "color > 5",
        "color = TRUE",
        "'7' = 7",
        "count / 0 = 1",
        "count % 0 = 0",
        "missing + 1 > 0",
        "missing = 1 AND TRUE",
        "1",
    ] {
        assert!(!matches(text), "{text}");
    }
}

#[test]
fn three_valued_logic_follows_its_tables() {
    let values = [("TRUE", Some(true)), ("FALSE", Some(false)), ("missing = 1", None)];
    let outcome = |text: &str| match (matches(text), matches(&format!("NOT ({text})"))) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
        both => panic!("{text}: {both:?}"),
    };
    for (one, a) in values {
        for (other, b) in values {
            let and = if a == Some(false) || b == Some(false) { Some(false) } else { a.and(b) };
            let or = if a == Some(true) || b == Some(true) { Some(true) } else { a.and(b) };
            assert_eq!(outcome(&format!("{one} AND {other}")), and, "{one} AND {other}");
            assert_eq!(outcome(&format!("{one} OR {other}")), or, "{one} OR {other}");
        }
    }
}

#[test]
fn mistakes_are_named_with_their_place_and_the_remedy() {
    for (text, position, remedy) in [
        ("", 1, "a header"),
        ("color =", 8, "the end"),
        ("color = 'red", 9, "no partner"),
        ("color = red'", 12, "no partner"),
        ("grün = 'a' ; b", 12, "single quotes"),
        ("(a = 1", 7, ") is expected"),
        ("a = 1)", 6, "AND, OR or the end"),
        ("a = 1 b", 7, "the name \"b\""),
        ("a NOT 1", 7, "BETWEEN, IN or LIKE"),
        ("a IS 1", 6, "NULL"),
        ("a BETWEEN 1 OR 2", 13, "AND and the upper bound"),
        ("a IN 1", 6, "( is expected"),
        ("a IN ()", 7, "a header"),
        ("a LIKE b", 8, "a text in single quotes"),
        ("a LIKE 'b' ESCAPE '!!'", 19, "one character"),
        ("a LIKE 'b!c' ESCAPE '!'", 8, "before %, _ or itself"),
        ("a = 1x", 5, "no number"),
        ("a = 1.2.3", 5, "no number"),
        ("AND", 1, "not AND"),
    ] {
        let error = Selector::parse(text).unwrap_err();
        assert_eq!(error.position, position, "{text}: {error}");
        assert!(error.to_string().contains(remedy), "{text}: {error}");
    }
}

#[test]
fn length_and_depth_are_bounded_and_long_chains_are_not_deep() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Selector::parse(&nested(MAX_DEPTH)).is_ok());
    for text in [nested(MAX_DEPTH + 1), "NOT ".repeat(MAX_DEPTH + 1) + "a", "-".repeat(MAX_DEPTH + 1) + "a"] {
        assert!(Selector::parse(&text).unwrap_err().to_string().contains("nested deeper"), "{text}");
    }
    assert!(matches(&format!("count = 7{}", " AND 1=1".repeat(200))));
    assert!(matches(&format!("0{} = 900", "+1".repeat(900))));
    let long = format!("a = '{}'", "x".repeat(MAX_LENGTH));
    assert!(Selector::parse(&long).unwrap_err().to_string().contains("shorten it"));
}

proptest! {
    #[test]
    fn no_text_is_too_strange_to_be_read_or_refused(text in "[ -~äß\u{1F980}]{0,60}") {
        if let Ok(selector) = Selector::parse(&text) {
            selector.matches(&message());
        }
    }

    #[test]
    fn no_sequence_of_words_is_too_strange(words in prop::collection::vec(prop::sample::select(vec![
        "AND", "OR", "NOT", "BETWEEN", "IN", "LIKE", "ESCAPE", "IS", "NULL", "TRUE", "(", ")", ",", "+", "-", "*", "/",
        "%", "=", "<>", "<", "color", "count", "'r%'", "'!'", "1", "0", "-9223372036854775808",
    ]), 0..14)) {
        let text = words.join(" ");
        if let Ok(selector) = Selector::parse(&text) {
            let negated = Selector::parse(&format!("NOT ({text})")).unwrap();
            prop_assert!(!(selector.matches(&message()) && negated.matches(&message())), "{text}");
        }
    }

    #[test]
    fn numbers_compare_as_numbers(one in -1000_i64..1000, other in -1000_i64..1000) {
        let headers = vec![("n".into(), one.to_string().into())];
        let message = Message::new("m".into(), "/topic/a".into(), headers, "".into(), true);
        for (sign, expected) in [("<", one < other), ("=", one == other), (">=", one >= other)] {
            let text = format!("n {sign} {other}");
            prop_assert_eq!(Selector::parse(&text).unwrap().matches(&message), expected, "{}", text);
        }
    }

    #[test]
    fn like_finds_what_a_plain_search_finds(pattern in "[ab%_]{0,6}", text in "[ab]{0,7}") {
        fn plain(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'%', rest)), _) => plain(rest, text) || text.split_first().is_some_and(|(_, t)| plain(pattern, t)),
                (Some((b'_', rest)), Some((_, text))) => plain(rest, text),
                (Some((p, rest)), Some((t, text))) => p == t && plain(rest, text),
                _ => false,
            }
        }
        let found = like::Pattern::new(&pattern, None).unwrap().matches(&text);
        prop_assert_eq!(found, plain(pattern.as_bytes(), text.as_bytes()));
    }
}
