//! STOMP over TCP: the octets are the stream.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use tokio::{io::DuplexStream, net::TcpStream};

use super::{
    Admission, Port, Received, Transport, Wire, WireError, door,
    tls::{self, Security},
};
use crate::{broker::Broker, connection, session::Close};

/// Serves one accepted connection in a task of its own.
pub(crate) fn serve(broker: &Arc<Broker>, stream: TcpStream, peer: SocketAddr, port: Port) {
    door::enter(broker, Transport::Tcp, stream, peer, move |broker, admission, stream, client| {
        secure(broker, admission, stream, client, port);
    });
}

/// Begins the session, or tells the client why there is none, after the TLS handshake where the port has one.
fn secure(broker: Arc<Broker>, admission: Admission, stream: TcpStream, peer: SocketAddr, port: Port) {
    match (port.security(broker.current().tls.stomp.as_ref()), admission) {
        (Security::Plain, Admission::Admitted(permit)) => connection::spawn(permit, stream, peer, TcpWire, &[]),
        (Security::Plain, Admission::Refused(refusal)) => drop(broker.tasks.spawn(refusal.tell(stream))),
        (Security::Tls(server), admission) => {
            let (stop, tasks) = (broker.drain.gate(), broker.tasks.clone());
            tasks.spawn(stop.run_until_cancelled_owned(async move {
                match (tls::handshake(&broker, &server, Transport::Tcp, stream, peer).await, admission) {
                    (Some(stream), Admission::Admitted(permit)) => {
                        connection::spawn(permit, stream, peer, TcpWire, &[]);
                    }
                    (Some(stream), Admission::Refused(refusal)) => refusal.tell(stream).await,
                    (None, _) => {}
                }
            }));
        }
        (Security::Closed, _) => tracing::debug!(client.addr = %peer, "closed: listeners.stomp has no TLS any more"),
    }
}

/// Serves a client over a pipe; says whether there is room for one more.
pub(crate) fn serve_pipe(broker: &Arc<Broker>, stream: DuplexStream, peer: SocketAddr) -> bool {
    match Admission::decide(broker, Transport::Tcp, Some(peer.ip())) {
        Some(Admission::Admitted(permit)) => {
            connection::spawn(permit, stream, peer, TcpWire, &[]);
            true
        }
        Some(Admission::Refused(_)) | None => false,
    }
}

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
