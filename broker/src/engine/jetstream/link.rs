//! The connection to NATS as the parts of the engine see it.

/// Whether the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// No connection; sessions have been ended, or there never were any.
    Down,
    /// It stands. Each time that it was made anew it has another number.
    Up {
        /// The number.
        epoch: u64,
    },
    /// It broke a moment ago; sessions wait for it to be made anew.
    Lost {
        /// The number of the one that broke.
        epoch: u64,
    },
}
