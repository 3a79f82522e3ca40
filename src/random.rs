//! Values that nobody can guess.

use rand::{TryRngCore as _, rand_core::OsError, rngs::OsRng};

/// Characters of a random value: 6 bits each, 192 in all.
const LENGTH: usize = 32;
/// Characters that need no quoting in URLs, shells and YAML.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new password or token from the system's source of randomness.
///
/// # Errors
/// When the system has none to give.
pub(crate) fn value() -> Result<String, OsError> {
    let mut random = [0; LENGTH];
    OsRng.try_fill_bytes(&mut random)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn values_are_long_plain_and_never_the_same() {
        let values: HashSet<String> = (0..200).map(|_| value().unwrap()).collect();
        assert_eq!(values.len(), 200);
        for value in values {
            assert_eq!(value.len(), 32);
            assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{value}");
        }
    }
}
