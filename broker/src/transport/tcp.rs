//! STOMP over TCP: the octets are the stream.

use bytes::BytesMut;

use super::{Received, Transport, Wire, WireError};
use crate::session::Close;

/// No framing at all.
#[derive(Debug, Default)]
pub(crate) struct TcpWire;

impl Wire for TcpWire {
    const TRANSPORT: Transport = Transport::Tcp;

    fn receive(&mut self, octets: &mut [u8], stomp: &mut BytesMut, _: &mut Vec<u8>) -> Result<Received, WireError> {
        stomp.extend_from_slice(octets);
        Ok(Received::Open)
    }

    fn frame(&mut self, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(head);
        out.extend_from_slice(tail);
    }

    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        out.push(b'\n');
    }

    fn close(&mut self, _: &Close, _: &mut Vec<u8>) {}
}
