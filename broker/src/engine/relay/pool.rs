//! Which upstream connection a session gets: one of its own, or a place on one that it shares (`relay.multiplex`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use super::{
    Shared,
    bell::{Bell, SeatId},
    board::Reign,
    connection,
    port::Port,
};

/// A connection as others see it.
pub(super) struct Member {
    /// How its task is told that there is something to do.
    pub(super) bell: Arc<Bell>,
    /// Whether several sessions use it.
    pub(super) is_shared: bool,
    arrivals: Mutex<Arrivals>,
    seated: AtomicUsize,
    reign: Reign,
}

struct Arrivals {
    ports: Vec<(SeatId, Port)>,
    next: u32,
    open: bool,
}

impl Member {
    fn new(reign: &Reign, is_shared: bool) -> Arc<Self> {
        Arc::new(Self {
            bell: Arc::default(),
            is_shared,
            arrivals: Mutex::new(Arrivals { ports: Vec::new(), next: 0, open: true }),
            seated: AtomicUsize::new(0),
            reign: reign.clone(),
        })
    }

    /// Gives a session a place.
    ///
    /// # Errors
    /// The session, when the connection ends.
    fn admit(&self, port: Port) -> Result<(), Box<Port>> {
        let mut arrivals = self.arrivals.lock();
        if !arrivals.open {
            return Err(Box::new(port));
        }
        let seat = SeatId(arrivals.next);
        arrivals.next += 1;
        let queue = port.queue.clone();
        arrivals.ports.push((seat, port));
        self.seated.fetch_add(1, Ordering::Relaxed);
        drop(arrivals);
        queue.seat(&self.bell, seat);
        Ok(())
    }

    /// The sessions that have come since the last call.
    pub(super) fn arrivals(&self) -> Vec<(SeatId, Port)> {
        std::mem::take(&mut self.arrivals.lock().ports)
    }

    /// A session has left its place.
    pub(super) fn left(&self) {
        self.seated.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes no more sessions, unless some have just come; says whether that is so.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut arrivals = self.arrivals.lock();
        arrivals.open = !arrivals.ports.is_empty();
        !arrivals.open
    }

    /// Takes no more sessions; gives back those that have no place yet.
    pub(super) fn close(&self) -> Vec<(SeatId, Port)> {
        let mut arrivals = self.arrivals.lock();
        arrivals.open = false;
        std::mem::take(&mut arrivals.ports)
    }

    fn serves(&self, reign: &Reign) -> bool {
        self.reign.address == reign.address && !self.reign.over.is_cancelled() && self.arrivals.lock().open
    }
}

/// The shared connections.
#[derive(Default)]
pub(super) struct Pool {
    members: Mutex<Vec<Arc<Member>>>,
}

impl Pool {
    /// Gives a session a place on the least used of at most `most` connections to the upstream that reigns.
    pub(super) fn seat(&self, shared: &Arc<Shared>, reign: &Reign, most: usize, mut port: Port) {
        let mut members = self.members.lock();
        members.retain(|member| !member.reign.over.is_cancelled() && member.arrivals.lock().open);
        let here = members.iter().filter(|member| member.serves(reign));
        let count = here.clone().count();
        let least = here.min_by_key(|member| member.seated.load(Ordering::Relaxed));
        if let Some(least) = least.filter(|least| count >= most || least.seated.load(Ordering::Relaxed) == 0) {
            match least.admit(port) {
                Ok(()) => return,
                Err(back) => port = *back,
            }
        }
        members.push(open(shared, reign, None, true, port));
    }
}

/// Gives a session a connection of its own; `client_id` is the `client-id` that it named in its CONNECT.
pub(super) fn seat_alone(shared: &Arc<Shared>, reign: &Reign, client_id: Option<Box<str>>, port: Port) {
    open(shared, reign, client_id, false, port);
}

fn open(shared: &Arc<Shared>, reign: &Reign, client_id: Option<Box<str>>, is_shared: bool, port: Port) -> Arc<Member> {
    let member = Member::new(reign, is_shared);
    // It is open, so it takes the session; were it not, dropping the session would tell it so.
    let _ = member.admit(port);
    shared.tasks.spawn(connection::run(shared.clone(), reign.clone(), client_id, member.clone()));
    member
}
