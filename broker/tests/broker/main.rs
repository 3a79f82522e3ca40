//! The broker from outside: real sockets against [`stompbroker::server::Server`], or against the binary.

mod admin;
mod clients;
mod closing;
mod command_line;
mod drain;
mod heartbeats;
mod limits;
mod logins;
mod messages;
mod reload;
mod support;
mod websocket;
