//! The STOMP wire format: a codec without I/O.
//!
//! [`Decoder`] turns octets into [`Frame`]s, however they were split on their way; [`encode()`] does the opposite. Both
//! know the escapes of every version, and neither keeps more than the limits allow.

mod decode;
mod encode;
mod error;
mod escape;
mod frame;

pub use decode::{DecodeLimits, Decoder, Item};
pub use encode::encode;
pub(crate) use encode::{put_body, put_header};
pub use error::{DecodeError, DecodeProblem, Place};
pub(crate) use escape::Escapes;
pub(crate) use frame::keep_first;
pub use frame::{Command, Frame, Header, Version};

#[cfg(test)]
mod tests;
