//! Text into tokens.

use super::{MAX_LENGTH, SelectorError, value::Number};

/// By these prefixes clients of `ActiveMQ` ask for what a selector may need; numbers are converted here in any case.
const CONVERT_PREFIX: &str = "convert_string_expressions:";
const HYPHEN_PREFIX: &str = "hyphenated_props:";

/// A word of a selector.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// One of the reserved words, in capitals.
    Keyword(Keyword),
    /// The name of a header.
    Name(Box<str>),
    Text(Box<str>),
    Number(Number),
    /// An operator, a parenthesis or a comma.
    Symbol(&'static str),
    End,
}

/// The reserved words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Between,
    Escape,
    False,
    In,
    Is,
    Like,
    Not,
    Null,
    Or,
    True,
}

const KEYWORDS: [(&str, Keyword); 11] = [
    ("AND", Keyword::And),
    ("BETWEEN", Keyword::Between),
    ("ESCAPE", Keyword::Escape),
    ("FALSE", Keyword::False),
    ("IN", Keyword::In),
    ("IS", Keyword::Is),
    ("LIKE", Keyword::Like),
    ("NOT", Keyword::Not),
    ("NULL", Keyword::Null),
    ("OR", Keyword::Or),
    ("TRUE", Keyword::True),
];

/// Longer ones first, for the first that fits is taken.
const SYMBOLS: [&str; 15] = ["<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/", "%"];

/// Takes tokens from a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    rest: &'a str,
    hyphens: bool,
}

impl<'a> Lexer<'a> {
    /// Begins with a text, whose length is checked.
    pub(super) fn new(text: &'a str) -> Result<Self, SelectorError> {
        if text.len() > MAX_LENGTH {
            let problem =
                format!("a selector may have {MAX_LENGTH} octets, and this one has {}; shorten it", text.len());
            return Err(SelectorError { position: 1, problem: problem.into() });
        }
        let mut lexer = Self { text, rest: text, hyphens: false };
        loop {
            if let Some(rest) = lexer.rest.strip_prefix(CONVERT_PREFIX) {
                lexer.rest = rest;
            } else if let Some(rest) = lexer.rest.strip_prefix(HYPHEN_PREFIX) {
                lexer.rest = rest;
                lexer.hyphens = true;
            } else {
                return Ok(lexer);
            }
        }
    }

    /// Takes the next token, and says at which character it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token), SelectorError> {
        self.rest = self.rest.trim_start();
        let position = self.position();
        let Some(first) = self.rest.chars().next() else { return Ok((position, Token::End)) };
        let token = match first {
            '\'' => self.quoted('\'').map(Token::Text),
            '"' => self.quoted('"').map(Token::Name),
            '0'..='9' => self.number(),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            c if c.is_alphabetic() || c == '_' || c == '$' => Ok(self.word()),
            _ => self.symbol(),
        };
        token.map(|token| (position, token)).map_err(|problem| SelectorError { position, problem })
    }

    fn position(&self) -> usize {
        self.text[..self.text.len() - self.rest.len()].chars().count() + 1
    }

    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(octets);
        self.rest = rest;
        taken
    }

    /// A text between quotes; two of them stand for one.
    fn quoted(&mut self, quote: char) -> Result<Box<str>, Box<str>> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let Some((before, after)) = rest.split_once(quote) else {
                return Err(format!(
                    "the {quote} has no partner; close the text, and write {quote}{quote} for one in it"
                )
                .into());
            };
            text.push_str(before);
            rest = after;
            match after.strip_prefix(quote) {
                Some(after) => {
                    text.push(quote);
                    rest = after;
                }
                None => break,
            }
        }
        self.rest = rest;
        Ok(text.into())
    }

    fn number(&mut self) -> Result<Token, Box<str>> {
        let mut previous = '0';
        let end = self.rest.find(|c: char| {
            let sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
            previous = c;
            !(c.is_alphanumeric() || matches!(c, '.' | '_') || sign)
        });
        let text = self.take(end.unwrap_or(self.rest.len()));
        Number::parse(text)
            .map(Token::Number)
            .ok_or_else(|| format!("{text:?} is no number; write one such as 12, 1.5 or 2e3").into())
    }

    fn word(&mut self) -> Token {
        let hyphens = self.hyphens;
        let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.') || (hyphens && c == '-');
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let word = self.take(end);
        match KEYWORDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(word)) {
            Some((_, keyword)) => Token::Keyword(*keyword),
            None => Token::Name(word.into()),
        }
    }

    fn symbol(&mut self) -> Result<Token, Box<str>> {
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol)) {
            self.take(symbol.len());
            return Ok(Token::Symbol(symbol));
        }
        let found = self.rest.chars().next().unwrap_or_default();
        Err(format!("{found:?} means nothing here; put a text in single quotes").into())
    }
}

impl Token {
    /// The token in words, for a problem.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Keyword(keyword) => {
                KEYWORDS.iter().find(|(_, known)| known == keyword).map_or("", |(text, _)| text).to_owned()
            }
            Self::Name(name) => format!("the name {name:?}"),
            Self::Text(text) => format!("the text {text:?}"),
            Self::Number(_) => "a number".to_owned(),
            Self::Symbol(symbol) => (*symbol).to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}
