//! How a pod says which logins it accepts without saying them: a keyed digest that the operator can make as well.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::load::hex;

/// The file that is another one for every value that a rotation brings in, so that a value that was taken out and brought in
/// again is not mistaken for having stayed.
pub const ROTATION_FILE: &str = "rotation";

/// Every file that a folder of credentials may have, which are also the keys of the Secret that it is mounted from.
pub const LOGIN_FILES: [&str; 7] =
    ["username", "password", "next.username", "next.password", "previous.username", "previous.password", ROTATION_FILE];

/// The key of [`login_digest`]: whoever may ask a pod knows the token anyway, and to everybody else the digest tells nothing
/// about a password that could be guessed.
pub fn login_digest_key(admin_token: &str) -> [u8; 32] {
    Sha256::digest(admin_token.trim()).into()
}

/// The digest of a login in all its values: HMAC-SHA-256 over the names, lengths and octets of the files that are there;
/// absent when there are none.
pub fn login_digest(key: &[u8; 32], content: impl Fn(&str) -> Option<Vec<u8>>) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let mut any = false;
    for name in LOGIN_FILES {
        let Some(octets) = content(name) else { continue };
        any = true;
        mac.update(name.as_bytes());
        mac.update(&(octets.len() as u64).to_be_bytes());
        mac.update(&octets);
    }
    any.then(|| hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(token: &str, files: &[(&str, &str)]) -> Option<String> {
        login_digest(&login_digest_key(token), |name| {
            files.iter().find(|(file, _)| *file == name).map(|(_, text)| text.as_bytes().to_vec())
        })
    }

    #[test]
    fn every_value_and_the_token_count_and_the_order_does_not() {
        let files = [("username", "ann"), ("password", "x")];
        let base = digest("token", &files);
        assert_eq!(base, digest(" token\n", &[files[1], files[0]]));
        for other in [
            digest("other", &files),
            digest("token", &[("username", "ann"), ("password", "y")]),
            digest("token", &[("username", "an"), ("password", "nx")]),
            digest("token", &[files[0], files[1], ("rotation", "2")]),
            digest("token", &[files[0], files[1], ("next.username", "ann"), ("next.password", "y")]),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(digest("token", &[]), None);
    }
}
