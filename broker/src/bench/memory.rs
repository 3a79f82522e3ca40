//! Memory of the broker per idle, subscribed session.

use tokio::time::sleep;

use super::{
    BenchError,
    arguments::{MemoryWork, Resolved},
    client::{Shared, open_subscribed},
    fan_out::{at_least, plural},
    report::{Memory, Report},
    sessions::SETTLING,
};

/// Sessions that come and go before the measurement: what the first cause once for all is not counted.
const WARM_UP: usize = 500;
/// The broker sends heart-beats, as it does to every browser; the load generator need not.
const HEARTBEAT: &str = "0,10000";

/// Opens the sessions and compares.
pub(super) async fn measure(target: &Resolved, work: &MemoryWork) -> Result<Report, BenchError> {
    let sessions = work.sessions;
    at_least("--sessions", sessions, 1)?;
    let Some(server) = target.server() else {
        return Err(BenchError::Argument {
            flag: "--server-pid",
            value: "not given".to_owned(),
            remedy: "give the process whose memory is to be measured",
        });
    };
    let shared = Shared::new();
    let headers = |_| vec![("destination", format!("/topic/{}", shared.name))];
    drop(open_subscribed(target, HEARTBEAT, WARM_UP.min(sessions), headers).await?);
    sleep(SETTLING).await;
    let before = server.resident()?;
    let kept = open_subscribed(target, HEARTBEAT, sessions, headers).await?;
    sleep(SETTLING).await;
    let after = server.resident()?;
    drop(kept);
    Ok(Report {
        work: format!("memory of {}", plural(sessions, "idle session")),
        url: target.address(),
        resident: Some(after),
        memory: Some(Memory { sessions: sessions as u64, per_session: after.saturating_sub(before) / sessions as u64 }),
        ..Report::default()
    })
}
