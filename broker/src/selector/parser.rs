//! Tokens into an expression, by recursive descent: OR, AND, NOT, comparison, sum, product, sign, value.

use super::{
    MAX_DEPTH, SelectorError,
    expression::{Comparison, Expression, Field},
    lexer::{Keyword, Lexer, Token},
    like::Pattern,
    value::{Arithmetic, Number},
};

/// Reads a whole selector.
pub(super) fn parse(text: &str) -> Result<Expression, SelectorError> {
    let mut lexer = Lexer::new(text)?;
    let (position, token) = lexer.next()?;
    let mut parser = Parser { lexer, position, token, depth: 0 };
    let expression = parser.any_of()?;
    if parser.token == Token::End { Ok(expression) } else { parser.expected("AND, OR or the end") }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token that comes next, and where it begins.
    token: Token,
    position: usize,
    depth: usize,
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Token, SelectorError> {
        let (position, token) = self.lexer.next()?;
        self.position = position;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn accept(&mut self, token: &Token) -> Result<bool, SelectorError> {
        let found = self.token == *token;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> Result<bool, SelectorError> {
        self.accept(&Token::Keyword(keyword))
    }

    fn expect_symbol(&mut self, symbol: &'static str) -> Result<(), SelectorError> {
        if self.accept(&Token::Symbol(symbol))? { Ok(()) } else { self.expected(symbol) }
    }

    fn expected<T>(&self, what: &str) -> Result<T, SelectorError> {
        self.problem(&format!("{what} is expected, not {}", self.token.describe()))
    }

    fn problem<T>(&self, problem: &str) -> Result<T, SelectorError> {
        Err(SelectorError { position: self.position, problem: problem.into() })
    }

    /// Reads what stands one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, SelectorError>) -> Result<T, SelectorError> {
        if self.depth == MAX_DEPTH {
            return self.problem(&format!("nested deeper than {MAX_DEPTH}; take out parentheses and signs"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn any_of(&mut self) -> Result<Expression, SelectorError> {
        self.chain(Keyword::Or, Self::all_of, Expression::Or)
    }

    fn all_of(&mut self) -> Result<Expression, SelectorError> {
        self.chain(Keyword::And, Self::negation, Expression::And)
    }

    fn chain(
        &mut self,
        keyword: Keyword,
        read: impl Fn(&mut Self) -> Result<Expression, SelectorError>,
        make: impl FnOnce(Vec<Expression>) -> Expression,
    ) -> Result<Expression, SelectorError> {
        let first = read(self)?;
        if self.token != Token::Keyword(keyword) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.accept_keyword(keyword)? {
            parts.push(read(self)?);
        }
        Ok(make(parts))
    }

    fn negation(&mut self) -> Result<Expression, SelectorError> {
        if self.accept_keyword(Keyword::Not)? {
            return self.deeper(Self::negation).map(|inner| Expression::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, SelectorError> {
        let value = self.sum()?;
        if let Some(comparison) = self.comparison_sign() {
            self.advance()?;
            let other = self.sum()?;
            return Ok(Expression::Compare(Box::new(value), comparison, Box::new(other)));
        }
        if self.accept_keyword(Keyword::Is)? {
            let not = self.accept_keyword(Keyword::Not)?;
            if !self.accept_keyword(Keyword::Null)? {
                return self.expected("NULL");
            }
            return Ok(negated(not, Expression::IsNull(Box::new(value))));
        }
        let not = self.accept_keyword(Keyword::Not)?;
        let condition = if self.accept_keyword(Keyword::Between)? {
            let low = self.sum()?;
            if !self.accept_keyword(Keyword::And)? {
                return self.expected("AND and the upper bound");
            }
            Expression::Between(Box::new(value), Box::new(low), Box::new(self.sum()?))
        } else if self.accept_keyword(Keyword::In)? {
            Expression::In(Box::new(value), self.list()?)
        } else if self.accept_keyword(Keyword::Like)? {
            Expression::Like(Box::new(value), self.pattern()?)
        } else if not {
            return self.expected("BETWEEN, IN or LIKE");
        } else {
            return Ok(value);
        };
        Ok(negated(not, condition))
    }

    fn comparison_sign(&self) -> Option<Comparison> {
        let Token::Symbol(symbol) = self.token else { return None };
        Some(match symbol {
            "=" => Comparison::Equal,
            "<>" | "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        })
    }

    fn list(&mut self) -> Result<Vec<Expression>, SelectorError> {
        self.expect_symbol("(")?;
        let mut items = vec![self.sum()?];
        while self.accept(&Token::Symbol(","))? {
            items.push(self.sum()?);
        }
        self.expect_symbol(")")?;
        Ok(items)
    }

    fn pattern(&mut self) -> Result<Pattern, SelectorError> {
        let Token::Text(text) = self.token.clone() else { return self.expected("a text in single quotes") };
        let position = self.position;
        self.advance()?;
        let mut escape = None;
        if self.accept_keyword(Keyword::Escape)? {
            let mut characters = match &self.token {
                Token::Text(text) => text.chars(),
                _ => return self.expected("one character in single quotes"),
            };
            escape = characters.next();
            if escape.is_none() || characters.next().is_some() {
                return self.expected("one character in single quotes");
            }
            self.advance()?;
        }
        Pattern::new(&text, escape).ok_or_else(|| SelectorError {
            position,
            problem: "the escape character must stand before %, _ or itself; write it twice for itself".into(),
        })
    }

    fn sum(&mut self) -> Result<Expression, SelectorError> {
        self.calculation(Self::product, |symbol| match symbol {
            "+" => Some(Arithmetic::Add),
            "-" => Some(Arithmetic::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Expression, SelectorError> {
        self.calculation(Self::signed, |symbol| match symbol {
            "*" => Some(Arithmetic::Multiply),
            "/" => Some(Arithmetic::Divide),
            "%" => Some(Arithmetic::Remainder),
            _ => None,
        })
    }

    fn calculation(
        &mut self,
        read: impl Fn(&mut Self) -> Result<Expression, SelectorError>,
        operator: impl Fn(&'static str) -> Option<Arithmetic>,
    ) -> Result<Expression, SelectorError> {
        let first = read(self)?;
        let mut steps = Vec::new();
        while let Token::Symbol(symbol) = self.token
            && let Some(what) = operator(symbol)
        {
            self.advance()?;
            steps.push((what, read(self)?));
        }
        Ok(if steps.is_empty() { first } else { Expression::Calculate(Box::new(first), steps) })
    }

    fn signed(&mut self) -> Result<Expression, SelectorError> {
        if self.accept(&Token::Symbol("+"))? {
            return self.deeper(Self::signed);
        }
        if self.accept(&Token::Symbol("-"))? {
            let zero = Box::new(Expression::Number(Number::Integer(0)));
            let value = self.deeper(Self::signed)?;
            return Ok(Expression::Calculate(zero, vec![(Arithmetic::Subtract, value)]));
        }
        self.value()
    }

    fn value(&mut self) -> Result<Expression, SelectorError> {
        let expected = "a header, a text in single quotes, a number, TRUE, FALSE or (";
        if !matches!(
            self.token,
            Token::Name(_)
                | Token::Text(_)
                | Token::Number(_)
                | Token::Symbol("(")
                | Token::Keyword(Keyword::True | Keyword::False)
        ) {
            return self.expected(expected);
        }
        Ok(match self.advance()? {
            Token::Name(name) => Expression::Field(Field::named(&name)),
            Token::Text(text) => Expression::Text(text),
            Token::Number(number) => Expression::Number(number),
            Token::Keyword(keyword) => Expression::Boolean(keyword == Keyword::True),
            Token::Symbol(_) | Token::End => {
                let inner = self.deeper(Self::any_of)?;
                self.expect_symbol(")")?;
                inner
            }
        })
    }
}

fn negated(not: bool, condition: Expression) -> Expression {
    if not { Expression::Not(Box::new(condition)) } else { condition }
}
