//! Text that is kept for long and read seldom, such as the revision of each Deployment: some 4 KiB as they are, a third of it here
//! (pure).

use std::{fmt, sync::LazyLock};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use parking_lot::Mutex;

/// One for all: it needs 350 KiB itself.
static PRESS: LazyLock<Mutex<Press>> = LazyLock::new(|| {
    Mutex::new(Press {
        compress: Compress::new(Compression::fast(), false),
        decompress: Decompress::new(false),
        octets: Vec::new(),
    })
});

/// What packs and unpacks.
struct Press {
    compress: Compress,
    decompress: Decompress,
    /// Room for what comes out, so that what is kept of it has no more than it needs and leaves no hole beside it.
    octets: Vec<u8>,
}

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
        let Press { compress, octets, .. } = &mut *PRESS.lock();
        compress.reset();
        octets.clear();
        octets.reserve(text.len());
        // It ends when there is no more room, which is as long as the text is or longer.
        match compress.compress_vec(text.as_bytes(), octets, FlushCompress::Finish) {
            Ok(Status::StreamEnd) if octets.len() < text.len() => Self::Deflated(octets.as_slice().into(), text.len()),
            _ => Self::Plain(text.into()),
        }
    }

    /// The text; absent when it has been spoilt, which nothing does.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.clone().into()),
            Self::Deflated(octets, length) => {
                let mut text = Vec::with_capacity(*length);
                let Press { decompress, .. } = &mut *PRESS.lock();
                decompress.reset(false);
                let status = decompress.decompress_vec(octets, &mut text, FlushDecompress::Finish).ok()?;
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
