//! Text that is kept for long and read seldom, such as the revision of each Deployment: some 4 KiB as they are, a third of it here
//! (pure).

use std::{fmt, sync::LazyLock};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use parking_lot::Mutex;

/// One for all: it needs 300 KiB itself.
static COMPRESS: LazyLock<Mutex<Compress>> = LazyLock::new(|| Mutex::new(Compress::new(Compression::fast(), false)));

/// A text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Deflated, and how many octets it has.
    Deflated(Box<[u8]>, usize),
    /// As it is, since it does not get shorter.
    Plain(Box<str>),
}

impl Packed {
    pub(crate) fn new(text: &str) -> Self {
        let mut compress = COMPRESS.lock();
        compress.reset();
        let mut octets = Vec::with_capacity(text.len());
        // It ends when there is no more room, which is as long as the text is.
        match compress.compress_vec(text.as_bytes(), &mut octets, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => Self::Deflated(octets.into(), text.len()),
            _ => Self::Plain(text.into()),
        }
    }

    /// The text; absent when it has been spoilt, which nothing does.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.clone().into()),
            Self::Deflated(octets, length) => {
                let mut text = Vec::with_capacity(*length);
                let status = Decompress::new(false).decompress_vec(octets, &mut text, FlushDecompress::Finish).ok()?;
                String::from_utf8(text).ok().filter(|_| status == Status::StreamEnd)
            }
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was_and_needs_less_room_meanwhile() {
        let long = r#"{"template":{"spec":{"containers":[{"name":"broker","image":"registry.test/stompbroker:1"}]}}}"#
            .repeat(40);
        for text in ["", "x", "r2", "\u{20ac}", &long] {
            assert_eq!(Packed::new(text).text().as_deref(), Some(text));
            assert_eq!(Packed::new(text), Packed::new(text));
        }
        assert!(matches!(Packed::new(&long), Packed::Deflated(octets, _) if octets.len() < long.len() / 3));
    }

    #[test]
    fn a_text_that_does_not_get_shorter_is_kept_as_it_is() {
        assert!(matches!(Packed::new("x"), Packed::Plain(_)));
    }
}
