//! The patterns of LIKE: `%` is any text, `_` is any one character.

/// A pattern, taken apart.
#[derive(Debug)]
pub(super) struct Pattern(Box<[Piece]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    AnyText,
    AnyCharacter,
    Character(char),
}

impl Pattern {
    /// Takes a pattern apart. What follows the escape character stands for itself; nothing, if that is neither `%` nor
    /// `_` nor the escape character.
    pub(super) fn new(text: &str, escape: Option<char>) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            pieces.push(match character {
                escaping if Some(escaping) == escape => {
                    let escaped = characters.next().filter(|&c| matches!(c, '%' | '_') || Some(c) == escape)?;
                    Piece::Character(escaped)
                }
                '%' if pieces.last() == Some(&Piece::AnyText) => continue,
                '%' => Piece::AnyText,
                '_' => Piece::AnyCharacter,
                other => Piece::Character(other),
            });
        }
        Some(Self(pieces.into()))
    }

    /// Whether the whole text is as the pattern says. Goes back only to the last `%`, so the time is at most the product
    /// of both lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut at, mut rest) = (0, text);
        // Where to try again, and with what: behind the last `%`, with one more character taken by it.
        let mut again: Option<(usize, &str)> = None;
        loop {
            let mut characters = rest.chars();
            let fits = match (self.0.get(at), characters.next()) {
                (None, None) => return true,
                (Some(Piece::AnyText), _) => {
                    at += 1;
                    again = Some((at, rest));
                    continue;
                }
                (Some(Piece::AnyCharacter), Some(_)) => true,
                (Some(Piece::Character(wanted)), Some(found)) => *wanted == found,
                _ => false,
            };
            if fits {
                at += 1;
                rest = characters.as_str();
            } else {
                let Some((behind, from)) = again else { return false };
                let mut shorter = from.chars();
                if shorter.next().is_none() {
                    return false;
                }
                (at, rest) = (behind, shorter.as_str());
                again = Some((at, rest));
            }
        }
    }
}
