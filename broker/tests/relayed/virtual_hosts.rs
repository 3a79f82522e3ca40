//! One `RabbitMQ` for all tests that do it no harm, with a virtual host for each.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tempfile::TempDir;

use crate::servers::{Kind, LOGIN, Server};

struct Shared {
    server: Server,
    login: TempDir,
}

impl Shared {
    fn start() -> Self {
        let login = tempfile::tempdir().unwrap();
        fs::write(login.path().join("username"), LOGIN.0).unwrap();
        fs::write(login.path().join("password"), LOGIN.1).unwrap();
        let mut server = Server::stopped(Kind::RabbitMq).with_management();
        server.run();
        Self { server, login }
    }

    /// Makes a virtual host; whoever makes it may use it.
    fn make(&self, name: &str) {
        let address = self.server.management_address();
        let login = BASE64_STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1));
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "PUT /api/vhosts/{name} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {login}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

/// Gives the shared server, the folder of its login, and the name of a virtual host that no other test uses.
pub(crate) fn new<T>(use_it: impl FnOnce(&Server, &Path, &str) -> T) -> T {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let shared = SHARED.get_or_init(Shared::start);
    let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    shared.make(&name);
    use_it(&shared.server, shared.login.path(), &name)
}
