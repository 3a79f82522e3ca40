//! Which server may be replaced now (pure, and about booleans only).

/// What is known of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct ServerFacts {
    /// It has a pod that is not on its way out.
    pub there: bool,
    /// It is ready and has caught up.
    pub well: bool,
    /// It is to be replaced.
    pub outdated: bool,
    /// It leads JetStream's metadata, so that replacing it last spares an election.
    pub leads: bool,
    /// How the brokers in other zones are.
    pub neighbours: Neighbours,
}

/// How the brokers in the zones of all other servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// All are ready, and stay as they are.
    Well,
    /// Some are not, or are being replaced.
    Disrupted,
}

/// The place of the server to replace in this pass.
///
/// One that is not well may always be replaced: it is the disruption that there is, and a corrected spec must reach it. Of
/// the others one at a time, while all are well.
pub fn next(servers: &[ServerFacts]) -> Option<usize> {
    let candidates = || servers.iter().enumerate().filter(|(_, server)| server.outdated && server.there);
    let first =
        |wanted: &dyn Fn(&ServerFacts) -> bool| candidates().find(|(_, server)| wanted(server)).map(|(index, _)| index);
    if let Some(broken) = first(&|server| !server.well) {
        return Some(broken);
    }
    if !servers.iter().all(|server| server.well) {
        return None;
    }
    let free = |server: &ServerFacts| server.neighbours == Neighbours::Well;
    // The leader waits for all others, also for those that may not go yet.
    let only_the_leader = candidates().all(|(_, server)| server.leads);
    first(&|server| free(server) && (!server.leads || only_the_leader))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: ServerFacts =
        ServerFacts { there: true, well: true, outdated: true, leads: false, neighbours: Neighbours::Well };

    #[test]
    fn one_goes_at_a_time_and_the_leader_last() {
        let leader = ServerFacts { leads: true, ..FINE };
        let done = ServerFacts { outdated: false, ..FINE };
        assert_eq!(next(&[leader, FINE, FINE]), Some(1));
        assert_eq!(next(&[leader, done, FINE]), Some(2));
        assert_eq!(next(&[leader, done, done]), Some(0));
        assert_eq!(next(&[done, done, done]), None);
    }

    #[test]
    fn nobody_goes_while_another_one_is_not_well() {
        let starting = ServerFacts { well: false, outdated: false, ..FINE };
        let absent = ServerFacts { there: false, ..starting };
        assert_eq!(next(&[FINE, starting, FINE]), None);
        assert_eq!(next(&[FINE, FINE, absent]), None);
    }

    #[test]
    fn one_that_is_not_well_may_always_be_replaced_unless_it_goes_already() {
        let broken = ServerFacts { well: false, neighbours: Neighbours::Disrupted, ..FINE };
        assert_eq!(next(&[FINE, FINE, broken]), Some(2));
        assert_eq!(next(&[FINE, FINE, ServerFacts { there: false, ..broken }]), None);
    }

    #[test]
    fn nobody_goes_while_brokers_elsewhere_are_disrupted() {
        let held = ServerFacts { neighbours: Neighbours::Disrupted, ..FINE };
        assert_eq!(next(&[held, held, FINE]), Some(2), "the one in the zone of the disruption");
        assert_eq!(next(&[held, held]), None);
    }

    #[test]
    fn of_all_worlds_of_three_servers_none_loses_two() {
        for bits in 0..1_u32 << 15 {
            let servers: Vec<_> = (0..3)
                .map(|index| {
                    let bit = |place: u32| bits >> (index * 5 + place) & 1 == 1;
                    let neighbours = if bit(4) { Neighbours::Well } else { Neighbours::Disrupted };
                    ServerFacts { there: bit(0), well: bit(0) && bit(1), outdated: bit(2), leads: bit(3), neighbours }
                })
                .collect();
            let Some(chosen) = next(&servers) else { continue };
            assert!(servers[chosen].outdated && servers[chosen].there);
            if servers[chosen].well {
                assert!(servers.iter().all(|server| server.well), "{servers:?}");
                assert_eq!(servers[chosen].neighbours, Neighbours::Well);
            }
        }
    }
}
