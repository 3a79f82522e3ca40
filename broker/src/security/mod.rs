//! Who a session is and what it may do. Pure: no I/O, no clock.

mod principal;

pub use principal::{Principal, Role};
