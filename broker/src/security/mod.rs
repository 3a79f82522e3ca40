//! Who a session is and what it may do. Pure but for [`credential_files`] and [`Users`], which read mounted Secrets, and [`jwt`], which
//! fetches keys and knows the time.
//!
//! ```text
//! CONNECT ──► Login ──► Authenticator::decide ──► Principal ──► Policy::allows ◄── SEND, SUBSCRIBE
//! ```

mod authenticator;
pub(crate) mod certificates;
pub mod credential_files;
mod credentials;
pub mod jwt;
mod policy;
mod principal;
mod tls_files;
mod upstream;
mod users;

pub use authenticator::{Authenticator, Decision, PendingLogin};
pub use credential_files::{CredentialError, CredentialPair};
pub use credentials::{CLIENT_ROLE, Credentials, LoginRefused, SYSTEM_ROLE};
pub use policy::Policy;
pub use principal::{Claims, Principal, Role};
pub(crate) use tls_files::{TlsFiles, TlsRefusal};
pub use users::{HashError, Users, UsersError, hash_password};
