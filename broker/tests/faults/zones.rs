//! Three zones: a network namespace each, joined by a bridge in a fourth one. Nothing of it is in the network of the machine.
//!
//! What runs in them, the namespaces and their files are removed by a process that waits for the end of this one, however
//! that comes.

use std::{
    fmt,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Removes the folder `$0` and the namespaces `$@` with all processes in them, as soon as its input ends. The folder stays when it
/// has a file `keep`.
const GUARD: &str = r#"trap '' INT TERM HUP
read -r _
for name; do
  while pids=$(ip netns pids "$name" 2>/dev/null) && [ -n "$pids" ]; do kill -KILL $pids 2>/dev/null; sleep 0.1; done
done
for name; do ip netns del "$name" 2>/dev/null; done
[ -e "$0/keep" ] || rm -rf "$0""#;

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone(usize);

impl Zone {
    pub(crate) const ALL: [Self; 3] = [Self(0), Self(1), Self(2)];

    /// Its number, from 0.
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    /// The zone of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|zone| zone.to_string() == name)
    }

    /// Where all that runs in it listens.
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 31, 0, [11, 12, 13][self.0])
    }

    /// A port there.
    pub(crate) fn port(self, port: u16) -> SocketAddr {
        (self.address(), port).into()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["a", "b", "c"][self.0])
    }
}

/// The network of a run.
#[derive(Debug)]
pub(crate) struct Zones {
    name: String,
    folder: PathBuf,
    guard: Child,
}

impl Zones {
    /// Makes it, and a folder for all that its servers write.
    pub(crate) fn make() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("stompfaults-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::Builder::new().prefix("stompfaults-").tempdir().unwrap().keep();
        let mut guard = Command::new("setsid");
        let all = Zone::ALL.iter().map(|zone| format!("{name}.{zone}")).chain([format!("{name}.hub")]);
        guard.args(["sh", "-c", GUARD]).arg(&folder).args(all).stdin(Stdio::piped());
        let zones = Self { name, folder, guard: guard.spawn().unwrap() };
        zones.build();
        zones
    }

    fn build(&self) {
        let hub = self.hub();
        run(&format!("netns add {hub}"));
        run(&format!("-n {hub} link add br0 type bridge"));
        run(&format!("-n {hub} address add 10.31.0.1/24 dev br0"));
        run(&format!("-n {hub} link set br0 up"));
        for zone in Zone::ALL {
            let own = self.namespace(zone);
            run(&format!("netns add {own}"));
            run(&format!("-n {hub} link add zone-{zone} type veth peer name eth0 netns {own}"));
            run(&format!("-n {hub} link set zone-{zone} master br0 up"));
            run(&format!("-n {own} address add {}/24 dev eth0", zone.address()));
            run(&format!("-n {own} link set lo up"));
            run(&format!("-n {own} link set eth0 up"));
        }
    }

    fn hub(&self) -> String {
        format!("{}.hub", self.name)
    }

    fn namespace(&self, zone: Zone) -> String {
        format!("{}.{zone}", self.name)
    }

    /// Where servers may write.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets the folder stay, for who looks for what went wrong.
    pub(crate) fn keep(&self) {
        std::fs::write(self.folder.join("keep"), "").unwrap();
    }

    /// A program in a zone; it is the process that is spawned.
    pub(crate) fn command(&self, zone: Zone, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace(zone))).arg("--").arg(program.as_ref());
        command
    }

    /// Moves this thread into a zone: its sockets are there from now on.
    pub(crate) fn enter(&self, zone: Zone) {
        enter(&self.namespace(zone));
    }

    /// Moves this thread to where it reaches every zone that is not cut off.
    pub(crate) fn enter_hub(&self) {
        enter(&self.hub());
    }

    /// Pulls the cable of a zone: nothing in it hears of that.
    pub(crate) fn cut(&self, zone: Zone) {
        run(&format!("-n {} link set zone-{zone} down", self.hub()));
    }

    /// Puts it back.
    pub(crate) fn heal(&self, zone: Zone) {
        run(&format!("-n {} link set zone-{zone} up", self.hub()));
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // There is nothing to be done about a guard that was killed.
        let _ = self.guard.wait();
    }
}

fn enter(namespace: &str) {
    let file = File::open(Path::new("/run/netns").join(namespace)).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn run(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments}: {said}; network namespaces need root");
}
