//! Buffers that all connections of one worker thread share, so that an idle connection holds none.

use std::cell::Cell;

use bytes::BytesMut;

use super::output::MOST_WASTE;

/// Octets read in one go.
const INPUT: usize = 64 << 10;
/// A buffer that has grown beyond this is not kept.
const MOST_KEPT: usize = 256 << 10;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static INPUT_BUFFER: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static OUTPUT_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the buffer that the thread reads into.
pub(super) fn with_read<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = READ_BUFFER.take().unwrap_or_else(|| vec![0; INPUT].into_boxed_slice());
    let result = use_it(&mut buffer);
    READ_BUFFER.set(Some(buffer));
    result
}

/// Takes the thread's buffer for octets that are not decoded yet, which is empty; until it is given back, others of the
/// thread get a new one.
pub(super) fn take_input() -> BytesMut {
    INPUT_BUFFER.take().unwrap_or_else(|| BytesMut::with_capacity(INPUT + MOST_WASTE))
}

/// Gives such a buffer back; what it still holds is dropped.
pub(super) fn give_input(mut buffer: BytesMut) {
    buffer.clear();
    // One that a message shares, or that was made for less, is of no use to others.
    if buffer.try_reclaim(INPUT + MOST_WASTE) && buffer.capacity() <= MOST_KEPT {
        INPUT_BUFFER.set(Some(buffer));
    }
}

/// Takes the thread's output buffer, which is empty; until it is given back, others of the thread get a new one.
pub(super) fn take_output() -> Vec<u8> {
    OUTPUT_BUFFER.take()
}

/// Gives an output buffer back.
pub(super) fn give_output(mut buffer: Vec<u8>) {
    if buffer.capacity() <= MOST_KEPT {
        buffer.clear();
        OUTPUT_BUFFER.set(buffer);
    }
}
