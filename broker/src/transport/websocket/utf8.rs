//! Checks that octets that come in pieces are UTF-8.

/// The end of the last piece, where it stopped inside a character.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    open: [u8; 4],
    open_len: u8,
}

impl Utf8 {
    /// Takes the next piece; false when the text cannot be UTF-8 whatever follows.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.open_len > 0 {
            let Some((first, rest)) = piece.split_first() else { return true };
            self.open[usize::from(self.open_len)] = *first;
            self.open_len += 1;
            piece = rest;
            match std::str::from_utf8(&self.open[..usize::from(self.open_len)]) {
                Ok(_) => self.open_len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(piece) else { return true };
        if error.error_len().is_some() {
            return false;
        }
        let open = &piece[error.valid_up_to()..];
        self.open[..open.len()].copy_from_slice(open);
        self.open_len = u8::try_from(open.len()).unwrap_or(0);
        true
    }

    /// Ends the text; false when it stopped inside a character.
    pub(crate) fn finish(&mut self) -> bool {
        std::mem::take(&mut self.open_len) == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_standard_library_however_the_octets_are_cut(
            octets in prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>()],
            cut in 1usize..6,
        ) {
            let mut utf8 = Utf8::default();
            let valid = octets.chunks(cut).all(|piece| utf8.push(piece)) && utf8.finish();
            prop_assert_eq!(valid, std::str::from_utf8(&octets).is_ok());
        }
    }
}
