//! A run: servers and clients in their zones, one fault after the other, the end, and the verdict.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    clients::{self, World},
    judge::{are_spread, judge},
    ledger::What,
    schedule::{Fault, Kind, Schedule},
    servers::{ADMIN, Engine, Role, Server},
    zones::{Zone, Zones},
};

/// How long the faults go on, in seconds, and what they are chosen by.
const SECONDS: &str = "STOMPBROKER_FAULTS_SECONDS";
const SEED: &str = "STOMPBROKER_FAULTS_SEED";
/// How long anything may take that must come; machines of tests are slow and busy.
const PATIENCE: Duration = Duration::from_mins(10);
/// Producers and consumers in each zone.
const PRODUCERS: usize = 2;
/// After how long without a MESSAGE nothing comes again: longer than `ackWait`.
const QUIET: Duration = Duration::from_secs(8);
/// An answer to a question that is asked again.
const ANSWER: Duration = Duration::from_secs(2);
/// Fewer pauses than this say nothing about how they are spread.
const ENOUGH_PAUSES: usize = 6;

/// The servers of a run, and their network.
struct Stage {
    engine: Engine,
    nodes: [Server; 3],
    brokers: [Server; 3],
    // Last, for it ends what is left of the servers.
    zones: Arc<Zones>,
}

/// Runs the faults of a seed, and fails unless everything that is promised was kept.
pub(crate) fn run(engine: Engine) {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let number = |name, text: String| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"));
    let seconds = variable(SECONDS).map_or(30, |text| number(SECONDS, text));
    let seed = variable(SEED).map_or_else(|| u64::from(rand::random::<u32>()), |text| number(SEED, text));
    println!("{engine:?}: {seconds} s of faults; again with --seed {seed}");
    let zones = Arc::new(Zones::make());
    let director = {
        let zones = zones.clone();
        std::thread::spawn(move || {
            zones.enter_hub();
            on_this_thread(direct(engine, zones, Duration::from_secs(seconds), seed))
        })
    };
    match director.join() {
        Ok(faults) if faults.is_empty() => {}
        outcome => {
            zones.keep();
            println!("  what was logged is in {}", zones.folder().display());
            match outcome {
                Ok(faults) => panic!("{engine:?} with --seed {seed}: {}", faults.join("; ")),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }
}

fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Plays everything; returns what was not kept.
async fn direct(engine: Engine, zones: Arc<Zones>, lasts: Duration, seed: u64) -> Vec<String> {
    let mut stage = Stage::set(engine, zones).await;
    let world = World::new(engine);
    let audience = Zone::ALL.map(|zone| seat(zone, stage.zones.clone(), world.clone()));
    until("every client to be there", async || world.consuming.load(Ordering::Relaxed) == Zone::ALL.len()).await;
    let begun = Instant::now();
    let mut counts = BTreeMap::new();
    for fault in Schedule::new(seed, engine.kinds()) {
        // Each kind once, however short the run.
        if begun.elapsed() >= lasts && counts.len() == engine.kinds().len() {
            break;
        }
        *counts.entry(format!("{:?}", fault.kind)).or_insert(0_usize) += 1;
        stage.suffer(fault, &world).await;
    }
    world.is_enough.store(true, Ordering::Relaxed);
    let done = async || world.producing.load(Ordering::Relaxed) == 0;
    let is_answered = is_soon(done).await;
    let is_settled = is_soon(async || world.ledger.is_settled(QUIET)).await;
    world.is_over.store(true, Ordering::Relaxed);
    for seat in audience {
        seat.join().unwrap();
    }
    stage.judge(&world, &counts, is_answered && is_settled)
}

/// The clients of a zone, on a thread that is in it.
fn seat(zone: Zone, zones: Arc<Zones>, world: Arc<World>) -> JoinHandle<()> {
    world.producing.fetch_add(PRODUCERS, Ordering::Relaxed);
    std::thread::spawn(move || {
        zones.enter(zone);
        on_this_thread(async {
            let mut clients = JoinSet::new();
            clients.spawn(clients::consume(zone, world.clone()));
            // Queues are there before anybody sends to them.
            while world.consuming.load(Ordering::Relaxed) < Zone::ALL.len() && !world.is_over.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(50)).await;
            }
            for _ in 0..PRODUCERS {
                clients.spawn(clients::produce(zone, world.clone()));
            }
            while let Some(ended) = clients.join_next().await {
                ended.unwrap();
                if world.is_over.load(Ordering::Relaxed) {
                    // Producers that still wait have been waited for.
                    clients.abort_all();
                    return;
                }
            }
        });
    })
}

impl Stage {
    /// Runs all servers and waits until the brokers serve.
    async fn set(engine: Engine, zones: Arc<Zones>) -> Self {
        let nodes = Zone::ALL.map(|zone| Server::new(&zones, zone, Role::Node));
        let brokers = Zone::ALL.map(|zone| Server::new(&zones, zone, Role::Broker));
        let mut stage = Self { engine, nodes, brokers, zones };
        for zone in Zone::ALL {
            stage.run(zone, Role::Node);
            if engine == Engine::Relay {
                // The first one is there before others look for it, so that there is one cluster.
                stage.node_listens(zone).await;
            }
        }
        for zone in Zone::ALL {
            stage.node_listens(zone).await;
            stage.run(zone, Role::Broker);
        }
        stage.all_serve().await;
        stage
    }

    fn server(&mut self, zone: Zone, role: Role) -> &mut Server {
        match role {
            Role::Node => &mut self.nodes[zone.index()],
            Role::Broker => &mut self.brokers[zone.index()],
        }
    }

    fn run(&mut self, zone: Zone, role: Role) {
        let (engine, zones) = (self.engine, self.zones.clone());
        self.server(zone, role).run(engine, &zones, zone, role);
    }

    /// Lets something go wrong, mends it, and waits until all serve again.
    async fn suffer(&mut self, fault: Fault, world: &World) {
        let zone = if fault.kind == Kind::Leader { self.leader().await.unwrap_or(fault.zone) } else { fault.zone };
        let fault = Fault { zone, ..fault };
        let at = world.ledger.age();
        if fault.kind != Kind::Broker {
            world.ledger.note(What::Struck);
        }
        match fault.kind {
            Kind::Broker => self.server(zone, Role::Broker).kill(),
            Kind::Node | Kind::Leader => self.server(zone, Role::Node).kill(),
            Kind::Cut => self.zones.cut(zone),
        }
        sleep(fault.lasts).await;
        match fault.kind {
            Kind::Broker => self.run(zone, Role::Broker),
            Kind::Node | Kind::Leader => self.run(zone, Role::Node),
            Kind::Cut => self.zones.heal(zone),
        }
        self.node_listens(zone).await;
        self.all_serve().await;
        let whole = world.ledger.age().saturating_sub(at).as_secs_f64();
        println!(
            "  {:6.1} s  {fault} for {:.1} s; all serve after {whole:.1} s",
            at.as_secs_f64(),
            fault.lasts.as_secs_f64()
        );
        sleep(fault.calm).await;
    }

    async fn node_listens(&mut self, zone: Zone) {
        let address = zone.port(self.engine.node_port());
        until(&format!("the upstream node in zone {zone} to listen"), async || {
            matches!(timeout(ANSWER, TcpStream::connect(address)).await, Ok(Ok(_)))
        })
        .await;
        assert!(!self.server(zone, Role::Node).has_ended(), "the upstream node in zone {zone} has ended");
    }

    async fn all_serve(&mut self) {
        for zone in Zone::ALL {
            until(&format!("the broker in zone {zone} to serve"), async || is_ready(zone).await).await;
            assert!(!self.server(zone, Role::Broker).has_ended(), "the broker in zone {zone} has ended by itself");
        }
    }

    /// Where the server is that leads the first stream of queues.
    async fn leader(&self) -> Option<Zone> {
        let ask = async {
            let urls = Zone::ALL.map(|zone| format!("nats://{}", zone.port(self.engine.node_port())));
            let client = async_nats::connect(&urls[..]).await.ok()?;
            let stream = async_nats::jetstream::new(client).get_stream("stompbroker-queues-0").await.ok()?;
            Zone::named(stream.cached_info().cluster.as_ref()?.leader.as_deref()?)
        };
        timeout(PATIENCE, ask).await.ok().flatten()
    }

    /// Tells what became of the run; returns what was not kept.
    fn judge(&self, world: &World, counts: &BTreeMap<String, usize>, is_settled: bool) -> Vec<String> {
        let entries = world.ledger.entries();
        let verdict = judge(&entries, self.engine.promises());
        let pauses: Vec<_> = self.brokers.iter().flat_map(Server::pauses).collect();
        let mut faults = verdict.faults();
        if !is_settled {
            faults.push(format!("producers or consumers were not done {PATIENCE:?} after the last fault"));
        }
        if pauses.len() >= ENOUGH_PAUSES && !are_spread(&pauses) {
            faults.push(format!("the pauses of brokers before they tried again are not spread: {pauses:?}"));
        }
        let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!("  faults: {}", counts.join(", "));
        println!("{verdict}");
        println!("  pauses of brokers before another try {}, spread {}", pauses.len(), are_spread(&pauses));
        for (error, count) in &*world.errors.lock() {
            println!("  ERROR to clients, {count} times: {error}");
        }
        std::fs::write(self.zones.folder().join("history.txt"), verdict.history(&entries)).unwrap();
        println!("  verdict: {}", if faults.is_empty() { "everything was kept" } else { "NOT KEPT" });
        faults
    }
}

/// Whether the broker of a zone says that it serves.
async fn is_ready(zone: Zone) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(zone.port(ADMIN)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: faults\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    matches!(timeout(ANSWER, ask).await, Ok(Ok(true)))
}

/// Asks until it is so; says whether it is so in time.
async fn is_soon(mut ask: impl AsyncFnMut() -> bool) -> bool {
    let asking = async {
        while !ask().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, asking).await.is_ok()
}

/// Asks until it is so; fails when it is not in time.
async fn until(what: &str, ask: impl AsyncFnMut() -> bool) {
    assert!(is_soon(ask).await, "waited {PATIENCE:?} for {what}");
}
