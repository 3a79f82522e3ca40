//! Who a session is and what it may do. Pure but for [`credential_files`], which reads mounted Secrets; no clock.
//!
//! ```text
//! CONNECT ──► Login ──► Credentials::login ──► Principal ──► Policy::allows ◄── SEND, SUBSCRIBE
//! ```

pub mod credential_files;
mod credentials;
mod policy;
mod principal;
mod upstream;

pub use credential_files::{CredentialError, CredentialPair};
pub use credentials::{CLIENT_ROLE, Credentials, LoginRefused, SYSTEM_ROLE};
pub use policy::Policy;
pub use principal::{Principal, Role};
