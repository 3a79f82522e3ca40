//! Buffers that all connections of one worker thread share, so that an idle connection holds none.

use std::cell::Cell;

/// Octets read in one go.
const INPUT: usize = 64 << 10;
/// An output buffer that has grown beyond this is not kept.
const MOST_OUTPUT: usize = 256 << 10;

thread_local! {
    static INPUT_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static OUTPUT_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's input buffer.
pub(super) fn with_input<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = INPUT_BUFFER.take().unwrap_or_else(|| vec![0; INPUT].into_boxed_slice());
    let result = use_it(&mut buffer);
    INPUT_BUFFER.set(Some(buffer));
    result
}

/// Takes the thread's output buffer, which is empty; until it is given back, others of the thread get a new one.
pub(super) fn take_output() -> Vec<u8> {
    OUTPUT_BUFFER.take()
}

/// Gives an output buffer back.
pub(super) fn give_output(mut buffer: Vec<u8>) {
    if buffer.capacity() <= MOST_OUTPUT {
        buffer.clear();
        OUTPUT_BUFFER.set(buffer);
    }
}
