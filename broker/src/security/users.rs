//! Users of a file: names, argon2id hashes of their passwords, roles.
//!
//! A hash costs much memory and time on purpose. It is computed away from the threads that serve connections, at most a few
//! at once, and once for a pair that is right: a service whose thousand connections come back together must not wait for a
//! thousand hashes. A name that nobody has costs the same as a wrong password.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use argon2::{
    Algorithm, Argon2, Params,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use parking_lot::Mutex;
use rand::RngCore as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{LoginRefused, Principal};

/// Most kibibytes of memory that one hash may ask for.
const MOST_MEMORY: u32 = 256 << 10;
/// Most passes over that memory.
const MOST_PASSES: u32 = 16;
/// Pairs that are remembered as right.
const MOST_REMEMBERED: usize = 4096;

/// The users of a file; none without one.
#[derive(Clone, Default)]
pub struct Users(Option<Arc<UserFile>>);

struct UserFile {
    users: HashMap<Box<str>, User>,
    /// What is checked for a name that nobody has.
    decoy: Arc<PasswordHash>,
    /// Of the file's text, to know it again.
    digest: [u8; 32],
    /// The right to compute a hash.
    places: Arc<Semaphore>,
    remembered: Remembered,
}

struct User {
    hash: Arc<PasswordHash>,
    principal: Principal,
}

/// Pairs that were right, as digests that mean something only to this process.
struct Remembered {
    key: [u8; 32],
    pairs: Mutex<HashSet<[u8; 32]>>,
}

/// The text of a file of users.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    users: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    password_hash: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// Why a file gives no users. The text never shows a hash.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it cannot be used.
    #[error("{}: {problem}", file.display())]
    Unusable {
        /// Which file.
        file: PathBuf,
        /// Where in it, what is wrong, and what would be right.
        problem: String,
    },
}

/// Why a password gets no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// There is nothing to hash.
    #[error("the password is empty; write it to the standard input, as one line")]
    Empty,
    /// No STOMP header can carry it.
    #[error("the password has a line break or NUL inside, which no STOMP header can carry; choose another one")]
    LineBreak,
    /// The library failed.
    #[error("cannot hash the password: {0}")]
    Hash(argon2::password_hash::Error),
}

/// The line for a file of users: the argon2id hash of a password, with a salt of its own.
///
/// # Errors
/// [`HashError`] when no user could log in with the password.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    if password.contains(['\r', '\n', '\0']) {
        return Err(HashError::LineBreak);
    }
    Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(HashError::Hash)
}

impl Users {
    /// Reads a file of users, YAML or JSON.
    ///
    /// # Errors
    /// The file, and what in it is wrong.
    pub fn read(file: &Path) -> Result<Self, UsersError> {
        let text = fs::read_to_string(file).map_err(|source| UsersError::Read { file: file.to_owned(), source })?;
        Self::parse(&text).map_err(|problem| UsersError::Unusable { file: file.to_owned(), problem })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
        let mut users = HashMap::new();
        let mut decoy: Option<(u64, Arc<PasswordHash>)> = None;
        for (index, entry) in document.users.into_iter().enumerate() {
            let refuse = |key: &str, problem: &str| Err(format!("users[{index}].{key}: {problem}"));
            if entry.name.is_empty() || entry.name.contains(char::is_control) {
                return refuse("name", "it is empty or has a control character; write the login of a user");
            }
            let (hash, cost) = match parse_hash(&entry.password_hash) {
                Ok((hash, cost)) => (Arc::new(hash), cost),
                Err(problem) => return refuse("passwordHash", &problem),
            };
            if decoy.as_ref().is_none_or(|(most, _)| cost > *most) {
                decoy = Some((cost, Arc::clone(&hash)));
            }
            let name: Box<str> = entry.name.into();
            let roles = entry.roles.into_iter().map(String::into_boxed_str).collect();
            let principal = Principal { user: (&*name).into(), roles, claims: None, expires_at: None };
            if users.contains_key(&name) {
                return refuse("name", &format!("{name:?} is listed twice; merge the two entries"));
            }
            users.insert(name, User { hash, principal });
        }
        let Some((_, decoy)) = decoy else { return Ok(Self(None)) };
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        let places = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self(Some(Arc::new(UserFile {
            users,
            decoy,
            digest: Sha256::digest(text).into(),
            places: Arc::new(Semaphore::new(places)),
            remembered: Remembered { key, pairs: Mutex::default() },
        }))))
    }

    /// Goes on with what the one before remembers, when both are of the same text.
    pub(super) fn adopt(&mut self, before: &Self) {
        if let (Some(ours), Some(theirs)) = (&self.0, &before.0)
            && ours.digest == theirs.digest
        {
            self.0 = Some(Arc::clone(theirs));
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Decides a login; takes the time of a hash unless the pair was right before.
    pub fn verify(
        &self,
        name: &str,
        password: &str,
    ) -> impl Future<Output = Result<Principal, LoginRefused>> + Send + use<> {
        let (file, name, password) = (self.0.clone(), Box::<str>::from(name), Box::<str>::from(password));
        async move {
            let file = file.ok_or(LoginRefused::Credentials)?;
            let user = file.users.get(&name);
            let hash = user.map_or(&file.decoy, |user| &user.hash);
            let pair = file.remembered.digest(&name, &password);
            if let Some(user) = user
                && file.remembered.pairs.lock().contains(&pair)
            {
                return Ok(user.principal.clone());
            }
            // The semaphore is never closed, and only the end of the runtime cancels the computation.
            let place = Arc::clone(&file.places).acquire_owned().await.map_err(|_| LoginRefused::Credentials)?;
            let hash = Arc::clone(hash);
            let verified = tokio::task::spawn_blocking(move || {
                let _place = place;
                Argon2::default().verify_password(password.as_bytes(), &*hash).is_ok()
            });
            match (verified.await, user) {
                (Ok(true), Some(user)) => {
                    file.remembered.add(pair);
                    Ok(user.principal.clone())
                }
                _ => Err(LoginRefused::Credentials),
            }
        }
    }
}

impl Remembered {
    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let digest = Sha256::new().chain_update(self.key).chain_update((name.len() as u64).to_be_bytes());
        digest.chain_update(name).chain_update(password).finalize().into()
    }

    fn add(&self, pair: [u8; 32]) {
        let mut pairs = self.pairs.lock();
        if pairs.len() >= MOST_REMEMBERED {
            pairs.clear();
        }
        pairs.insert(pair);
    }
}

/// A hash that can be checked, and what that costs.
fn parse_hash(text: &str) -> Result<(PasswordHash, u64), String> {
    const NEEDED: &str = "needed is an argon2id hash as `stompbroker hash-password` prints it";
    let hash = PasswordHash::new(text).map_err(|_| format!("it is no hash; {NEEDED}"))?;
    if Algorithm::try_from(hash.algorithm.as_str()) != Ok(Algorithm::Argon2id)
        || hash.hash.is_none()
        || hash.salt.is_none()
    {
        return Err(format!("it is not one of argon2id, salt and all; {NEEDED}"));
    }
    let params = Params::try_from(&hash).map_err(|_| format!("its parameters are none of argon2id; {NEEDED}"))?;
    let (memory, passes) = (params.m_cost(), params.t_cost());
    if memory > MOST_MEMORY || passes > MOST_PASSES {
        return Err(format!(
            "it asks for {memory} KiB and {passes} passes; more than {MOST_MEMORY} KiB or {MOST_PASSES} would let a login \
             harm the others; {NEEDED}"
        ));
    }
    Ok((hash, u64::from(memory) * u64::from(passes)))
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = self.0.as_ref().map_or(0, |file| file.users.len());
        f.debug_struct("Users").field("users", &users).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that is quick to compute.
    fn quick(password: &str) -> String {
        let params = Params::new(8, 1, 1, None).unwrap();
        Argon2::from(params).hash_password(password.as_bytes()).unwrap().to_string()
    }

    fn users(entries: &[(&str, &str, &str)]) -> Users {
        let entry = |(name, password, roles): &(&str, &str, &str)| {
            format!("  - {{name: {name}, passwordHash: '{}', roles: [{roles}]}}\n", quick(password))
        };
        Users::parse(&format!("users:\n{}", entries.iter().map(entry).collect::<Vec<_>>().concat())).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_gives_the_roles_also_when_it_is_remembered() {
        let users = users(&[("ann", "a-pass", "ADMIN, USER"), ("bob", "b-pass", "")]);
        for _ in 0..2 {
            let ann = users.verify("ann", "a-pass").await.unwrap();
            assert_eq!((&*ann.user, ann.roles.join(" ").as_str()), ("ann", "ADMIN USER"));
            assert!(users.verify("bob", "b-pass").await.unwrap().roles.is_empty());
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused_also_after_the_right_one() {
        let users = users(&[("ann", "a-pass", ""), ("bob", "b-pass", "")]);
        users.verify("ann", "a-pass").await.unwrap();
        for (name, password) in [("ann", "b-pass"), ("ann", ""), ("bob", "a-pass"), ("eve", "a-pass"), ("", "")] {
            assert_eq!(users.verify(name, password).await, Err(LoginRefused::Credentials), "{name} {password}");
        }
        assert_eq!(Users::default().verify("ann", "a-pass").await, Err(LoginRefused::Credentials));
    }

    #[tokio::test]
    async fn a_new_file_forgets_what_the_old_one_remembers_and_the_same_file_does_not() {
        let old = users(&[("ann", "old", "")]);
        old.verify("ann", "old").await.unwrap();
        let mut new = users(&[("ann", "new", "")]);
        new.adopt(&old);
        assert_eq!(new.verify("ann", "old").await, Err(LoginRefused::Credentials));
        assert!(new.verify("ann", "new").await.is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_remedy_and_without_the_hash() {
        let hash = quick("s3cret");
        let long = hash.replace("m=8", "m=9999999");
        let weak = hash.replace("argon2id", "argon2i");
        for (text, key, remedy) in [
            (format!("users: [{{name: '', passwordHash: '{hash}'}}]"), "users[0].name", "login"),
            (
                format!("users: [{{name: a, passwordHash: '{hash}'}}, {{name: a, passwordHash: '{hash}'}}]"),
                "users[1].name",
                "merge",
            ),
            ("users: [{name: a, passwordHash: s3cret}]".to_owned(), "users[0].passwordHash", "hash-password"),
            (format!("users: [{{name: a, passwordHash: '{weak}'}}]"), "users[0].passwordHash", "argon2id"),
            (format!("users: [{{name: a, passwordHash: '{long}'}}]"), "users[0].passwordHash", "9999999 KiB"),
            (format!("users: [{{name: a, pasword: '{hash}'}}]"), "pasword", "unknown field"),
            ("people: []".to_owned(), "people", "unknown field"),
        ] {
            let problem = Users::parse(&text).unwrap_err();
            assert!(problem.contains(key) && problem.contains(remedy), "{problem}");
            assert!(!problem.contains(&hash) && !problem.contains("s3cret"), "{problem}");
        }
    }

    #[tokio::test]
    async fn a_hash_of_our_own_lets_its_password_in_and_is_never_the_same_twice() {
        let (one, two) = (hash_password("pass word").unwrap(), hash_password("pass word").unwrap());
        assert!(one.starts_with("$argon2id$") && one != two, "{one} {two}");
        let users = Users::parse(&format!(r#"{{"users": [{{"name": "ann", "passwordHash": "{one}"}}]}}"#)).unwrap();
        assert!(users.verify("ann", "pass word").await.is_ok());
        assert!(matches!(hash_password(""), Err(HashError::Empty)));
        assert!(matches!(hash_password("a\nb"), Err(HashError::LineBreak)));
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", users(&[("ann", "pass", "")])), "Users { users: 1, .. }");
    }
}
