//! The STOMP wire format: a codec without I/O.

mod frame;

pub use frame::{Command, Frame, Header, Version};
