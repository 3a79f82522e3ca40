//! The text form of label selectors (pure), as `kubectl -l` has it. What the API server would refuse is refused here.

use kube::core::{Expression, Selector};

/// Longest name of a label, and longest value.
const NAME: usize = 63;
/// Longest prefix of a label's key.
const PREFIX: usize = 253;

/// A text that is no selector.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    /// None of the forms, or nothing between two commas.
    #[error("{0:?} is no requirement; write for example app=a, app!=a, app in (a,b), app notin (a,b), app or !app")]
    Requirement(String),
    /// What no label can be called.
    #[error(
        "{0:?} is no key of a label; write up to {NAME} letters, digits, '-', '_' and '.' with a letter or digit at both ends, \
         if need be after a DNS name and '/', for example example.com/app"
    )]
    Key(String),
    /// What no label can be.
    #[error(
        "{0:?} is no value of a label; write up to {NAME} letters, digits, '-', '_' and '.' with a letter or digit at both ends, \
         or nothing"
    )]
    Value(String),
}

/// A part of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Comma,
    Open,
    Close,
    Equal,
    NotEqual,
    Not,
}

/// The selector in `text`; a blank one selects all.
pub(crate) fn parse(text: &str) -> Result<Selector, SelectorError> {
    if text.trim().is_empty() {
        return Ok(Selector::default());
    }
    requirements(text).map(requirement).collect()
}

/// The parts between commas that are in no parentheses.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
}

fn requirement(text: &str) -> Result<Expression, SelectorError> {
    match tokens(text).as_slice() {
        [Token::Word(name)] => Ok(Expression::Exists(key(name)?)),
        [Token::Not, Token::Word(name)] => Ok(Expression::DoesNotExist(key(name)?)),
        [Token::Word(name), Token::Equal] => Ok(Expression::Equal(key(name)?, String::new())),
        [Token::Word(name), Token::Equal, Token::Word(text)] => Ok(Expression::Equal(key(name)?, value(text)?)),
        [Token::Word(name), Token::NotEqual] => Ok(Expression::NotEqual(key(name)?, String::new())),
        [Token::Word(name), Token::NotEqual, Token::Word(text)] => Ok(Expression::NotEqual(key(name)?, value(text)?)),
        [Token::Word(name), Token::Word(operator @ ("in" | "notin")), Token::Open, values @ .., Token::Close]
            if !values.is_empty() =>
        {
            let values = values.split(|token| *token == Token::Comma).map(|one| match one {
                [] => Ok(String::new()),
                [Token::Word(text)] => value(text),
                _ => Err(SelectorError::Requirement(text.to_owned())),
            });
            let values = values.collect::<Result<_, _>>()?;
            let key = key(name)?;
            Ok(if *operator == "in" { Expression::In(key, values) } else { Expression::NotIn(key, values) })
        }
        _ => Err(SelectorError::Requirement(text.to_owned())),
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let symbols = [
            ("!=", Token::NotEqual),
            ("==", Token::Equal),
            ("=", Token::Equal),
            ("!", Token::Not),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
        ];
        let (token, length) = if let Some((symbol, token)) = symbols.iter().find(|(symbol, _)| rest.starts_with(symbol))
        {
            (*token, symbol.len())
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "=!,()".contains(c)).unwrap_or(rest.len());
            (Token::Word(&rest[..end]), end)
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// `[PREFIX/]NAME`
fn key(text: &str) -> Result<String, SelectorError> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let is_good = is_name(name) && prefix.is_none_or(is_domain);
    if is_good { Ok(text.to_owned()) } else { Err(SelectorError::Key(text.to_owned())) }
}

fn value(text: &str) -> Result<String, SelectorError> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(SelectorError::Value(text.to_owned())) }
}

fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = |c: char| c.is_ascii_alphanumeric();
    text.len() <= NAME && text.chars().all(inner) && text.starts_with(end) && text.ends_with(end)
}

fn is_domain(text: &str) -> bool {
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label =
        |label: &str| label.chars().all(|c| end(c) || c == '-') && label.starts_with(end) && label.ends_with(end);
    text.len() <= PREFIX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt as _;

    use super::*;

    #[test]
    fn every_form_of_a_requirement_selects_what_kubectl_would_select() {
        let labels = BTreeMap::from([("app.kubernetes.io/name", "a"), ("zone", ""), ("in", "notin")]);
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        for (text, selected) in [
            ("", true),
            (" ", true),
            ("app.kubernetes.io/name=a,zone=", true),
            ("app.kubernetes.io/name==a", true),
            (" app.kubernetes.io/name = a , zone != b ", true),
            ("app.kubernetes.io/name=b", false),
            ("app.kubernetes.io/name!=b", true),
            ("zone!=", false),
            ("app.kubernetes.io/name in (b, a),zone", true),
            ("app.kubernetes.io/name in(b,a)", true),
            ("app.kubernetes.io/name\tin\t( a )", true),
            ("app.kubernetes.io/name notin (a,b)", false),
            ("zone in (,b)", true),
            ("zone notin (b,)", false),
            ("in=notin,in in (notin)", true),
            ("!zone", false),
            ("! other", true),
        ] {
            assert_eq!(parse(text).unwrap().matches(&labels), selected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_part_that_is_wrong_and_the_remedy() {
        let requirement = |part: &str| SelectorError::Requirement(part.to_owned());
        let key = |part: &str| SelectorError::Key(part.to_owned());
        let value = |part: &str| SelectorError::Value(part.to_owned());
        let long = "a".repeat(64);
        for (text, expected) in [
            ("=a", requirement("=a")),
            ("a in b", requirement("a in b")),
            ("a b", requirement("a b")),
            ("a,(b", requirement("(b")),
            ("a in (b", requirement("a in (b")),
            ("a in ()", requirement("a in ()")),
            ("a in ((b))", requirement("a in ((b))")),
            ("a in (b c)", requirement("a in (b c)")),
            ("a=b=c", requirement("a=b=c")),
            ("!a=b", requirement("!a=b")),
            ("a,", requirement("")),
            ("a,,b", requirement("")),
            (",", requirement("")),
            ("a>1", key("a>1")),
            ("-a=b", key("-a")),
            ("a/b/c", key("a/b/c")),
            ("/a", key("/a")),
            ("A.com/a", key("A.com/a")),
            ("a..b/c", key("a..b/c")),
            (&*long, key(&long)),
            ("a=b/c", value("b/c")),
            ("a=-b", value("-b")),
            ("a!='b'", value("'b'")),
            ("a notin (b,\"c\")", value("\"c\"")),
            (&*format!("a={long}"), value(&long)),
        ] {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
        let error = parse("team = 'a'").unwrap_err().to_string();
        assert!(error.starts_with("\"'a'\" is no value of a label; write up to 63 letters"), "{error}");
    }

    #[test]
    fn what_is_read_is_written_as_the_api_server_reads_it() {
        let text = "app=a,b!=c,d in (,e,f),g notin (h),i,!j";
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
}
