//! Whether a run kept what is promised. Pure: the entries of a ledger in, a verdict out; no time is measured here.
//!
//! * **Lost** is a SEND that had its RECEIPT and was never delivered.
//! * **Again** is a MESSAGE that came after the RECEIPT of an ACK for it, to a session of which it is certain that the broker gave
//!   it the MESSAGE after that: the session began later, or another ACK of it that was written later had its RECEIPT before the
//!   MESSAGE came. What cannot be told from a MESSAGE that was on its way already is only counted, as *crossed*.
//! * **Reordered** is a MESSAGE, not marked as redelivered, that came to a session after one that the same producer's session
//!   had sent to the same queue later.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use crate::ledger::{Entry, SendId, SessionId, What};

/// What an engine promises beyond that nothing is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promises {
    /// A SEND without a RECEIPT for so long may have been sent again by the broker, and come late or twice. Absent: that never
    /// happens.
    pub(crate) sent_again_after: Option<Duration>,
    /// The upstream may forget an ACK whose RECEIPT came so shortly before one of its nodes was killed or cut off. Absent: it
    /// never does.
    pub(crate) acks_forgotten_within: Option<Duration>,
}

/// What became of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) sessions: usize,
    pub(crate) sent: usize,
    pub(crate) receipted: usize,
    pub(crate) delivered: usize,
    pub(crate) redelivered: usize,
    pub(crate) acks_receipted: usize,
    /// Pairs of messages whose order was looked at.
    pub(crate) ordered: usize,
    /// Those that came late, and those that came twice, after a SEND that may have been sent again.
    pub(crate) late: usize,
    pub(crate) doubled: usize,
    pub(crate) crossed: usize,
    /// Those that came again since the upstream may have forgotten the ACK.
    pub(crate) forgotten: usize,
    pub(crate) lost: Vec<SendId>,
    pub(crate) again: Vec<(SendId, SessionId)>,
    /// The one that came late, and the one before which it was sent.
    pub(crate) reordered: Vec<(SendId, SendId)>,
}

/// What is known of a SEND.
struct Sending {
    session: SessionId,
    queue: usize,
    at: Duration,
    receipted: Option<Duration>,
    /// The place and the time of the first RECEIPT of an ACK.
    acked: Option<(usize, Duration)>,
}

/// Judges a run that is over.
pub(crate) fn judge(entries: &[Entry], promises: Promises) -> Verdict {
    let mut verdict = Verdict::default();
    let mut sends: HashMap<SendId, Sending> = HashMap::new();
    let mut seen = HashSet::new();
    // The place of an entry before which nothing that comes to this session now was given to it.
    let mut since: HashMap<SessionId, usize> = HashMap::new();
    let mut acks: HashMap<(SessionId, SendId), usize> = HashMap::new();
    let mut newest: HashMap<(SessionId, SessionId, usize), SendId> = HashMap::new();
    let mut struck = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        match entry.what {
            What::Struck => struck.push(entry.at),
            What::Opened(session) => {
                verdict.sessions += 1;
                since.insert(session, place);
            }
            What::Sent { session, send, queue } => {
                verdict.sent += 1;
                sends.insert(send, Sending { session, queue, at: entry.at, receipted: None, acked: None });
            }
            What::Receipted(send) => {
                verdict.receipted += 1;
                if let Some(sending) = sends.get_mut(&send) {
                    sending.receipted = Some(entry.at);
                }
            }
            What::Acked { session, send } => {
                acks.insert((session, send), place);
            }
            What::AckReceipted { session, send } => {
                verdict.acks_receipted += 1;
                if let Some(sending) = sends.get_mut(&send) {
                    sending.acked.get_or_insert((place, entry.at));
                }
                if let Some((acked, since)) = acks.remove(&(session, send)).zip(since.get_mut(&session)) {
                    *since = acked.max(*since);
                }
            }
            What::Delivered { session, send, redelivered } => {
                verdict.delivered += 1;
                verdict.redelivered += usize::from(redelivered);
                seen.insert(send);
                let Some(sending) = sends.get(&send) else { continue };
                if let Some((acked, at)) = sending.acked {
                    let may_be_forgotten = |within| struck.iter().any(|&struck| at <= struck && struck <= at + within);
                    if since.get(&session).is_none_or(|since| *since < acked) {
                        verdict.crossed += 1;
                    } else if redelivered && promises.acks_forgotten_within.is_some_and(may_be_forgotten) {
                        verdict.forgotten += 1;
                    } else {
                        verdict.again.push((send, session));
                    }
                }
                if redelivered {
                    continue;
                }
                if let Some(newest) = newest.get(&(session, sending.session, sending.queue)) {
                    verdict.ordered += 1;
                    if send < *newest {
                        // Its RECEIPT may come later than itself, so that is looked at in the end.
                        verdict.reordered.push((send, *newest));
                    }
                }
                let newest = newest.entry((session, sending.session, sending.queue)).or_insert(send);
                *newest = send.max(*newest);
            }
        }
    }
    verdict.lost = sends
        .iter()
        .filter(|(send, sending)| sending.receipted.is_some() && !seen.contains(send))
        .map(|(send, _)| *send)
        .collect();
    verdict.lost.sort_unstable();
    let was_repeated = |send: &SendId| {
        let Some((after, sending)) = promises.sent_again_after.zip(sends.get(send)) else { return false };
        sending.receipted.is_none_or(|receipted| receipted.saturating_sub(sending.at) >= after)
    };
    let before = (verdict.reordered.len(), verdict.again.len());
    verdict.reordered.retain(|(late, _)| !was_repeated(late));
    verdict.again.retain(|(again, _)| !was_repeated(again));
    verdict.late = before.0 - verdict.reordered.len();
    verdict.doubled = before.1 - verdict.again.len();
    verdict
}

impl Verdict {
    /// All that happened to messages with which something was not kept, for who looks for the reason.
    pub(crate) fn history(&self, entries: &[Entry]) -> String {
        let reordered = self.reordered.iter().flat_map(|(late, before)| [*late, *before]);
        let again = self.again.iter().map(|(send, _)| *send);
        let sends: HashSet<_> = self.lost.iter().copied().chain(again).chain(reordered).collect();
        let of_these = entries.iter().filter(|entry| entry.what.send().is_some_and(|send| sends.contains(&send)));
        of_these
            .map(|Entry { at, what }| format!("{:9.3} s  {what:?}\n", at.as_secs_f64()))
            .collect::<Vec<_>>()
            .concat()
    }

    /// What was promised and not kept, for people.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Self { lost, again, reordered, .. } = self;
        let mut faults = Vec::new();
        if self.receipted == 0 || self.delivered == 0 {
            faults.push("nothing was sent and delivered, so nothing was tried".to_owned());
        }
        for (count, what, first) in [
            (lost.len(), "with a RECEIPT lost", format!("{:?}", lost.first())),
            (again.len(), "delivered again after the RECEIPT of their ACK", format!("{:?}", again.first())),
            (reordered.len(), "out of order", format!("{:?}", reordered.first())),
        ] {
            if count > 0 {
                faults.push(format!("{count} messages {what}, the first {first}"));
            }
        }
        faults
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, sent, receipted, delivered, redelivered, acks_receipted, .. } = self;
        let Self { ordered, late, doubled, crossed, forgotten, lost, again, reordered, .. } = self;
        let (lost, again, reordered) = (lost.len(), again.len(), reordered.len());
        writeln!(f, "  sessions {sessions}, SENDs {sent}, their RECEIPTs {receipted}")?;
        writeln!(f, "  MESSAGEs {delivered}, redelivered {redelivered}, RECEIPTs of ACKs {acks_receipted}")?;
        writeln!(f, "  lost {lost}")?;
        writeln!(
            f,
            "  again after the RECEIPT of the ACK {again}; crossed it {crossed}, the upstream forgot it {forgotten}"
        )?;
        writeln!(f, "  out of order {reordered} of {ordered}")?;
        write!(f, "  after a SEND that was repeated: late {late}, twice {doubled}")
    }
}

/// Whether pauses that pods chose before they tried a server again are spread: hardly any two of them the same.
pub(crate) fn are_spread(pauses: &[String]) -> bool {
    let distinct: HashSet<_> = pauses.iter().collect();
    distinct.len() * 10 >= pauses.len() * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: SessionId = SessionId(1);
    const ONE: SessionId = SessionId(2);
    const OTHER: SessionId = SessionId(3);
    const STRICT: Promises = Promises { sent_again_after: None, acks_forgotten_within: None };

    /// Entries a second apart, after both consumers and the producer have logged in.
    fn judged(promises: Promises, then: &[What]) -> Verdict {
        let opened = [PRODUCER, ONE, OTHER].map(What::Opened);
        let whats = opened.iter().chain(then).copied();
        let entries: Vec<_> = (0..).map(Duration::from_secs).zip(whats).map(|(at, what)| Entry { at, what }).collect();
        judge(&entries, promises)
    }

    fn sent(send: u32) -> What {
        What::Sent { session: PRODUCER, send: SendId(send), queue: 0 }
    }

    fn receipted(send: u32) -> What {
        What::Receipted(SendId(send))
    }

    fn delivered(session: SessionId, send: u32) -> What {
        What::Delivered { session, send: SendId(send), redelivered: false }
    }

    fn redelivered(session: SessionId, send: u32) -> What {
        What::Delivered { session, send: SendId(send), redelivered: true }
    }

    fn acked(session: SessionId, send: u32) -> What {
        What::Acked { session, send: SendId(send) }
    }

    fn ack_receipted(session: SessionId, send: u32) -> What {
        What::AckReceipted { session, send: SendId(send) }
    }

    #[test]
    fn a_run_in_which_everything_comes_once_has_no_faults() {
        let verdict = judged(
            STRICT,
            &[
                sent(1),
                receipted(1),
                sent(2),
                receipted(2),
                delivered(ONE, 1),
                acked(ONE, 1),
                delivered(ONE, 2),
                ack_receipted(ONE, 1),
                acked(ONE, 2),
                ack_receipted(ONE, 2),
            ],
        );
        assert_eq!(verdict.faults(), [""; 0]);
        assert_eq!((verdict.sent, verdict.receipted, verdict.delivered, verdict.ordered), (2, 2, 2, 1));
    }

    #[test]
    fn a_run_in_which_nothing_happens_is_no_success() {
        assert_eq!(judged(STRICT, &[]).faults().len(), 1);
    }

    #[test]
    fn only_what_has_a_receipt_can_be_lost() {
        let verdict = judged(STRICT, &[sent(1), sent(2), sent(3), receipted(2), receipted(3), delivered(ONE, 3)]);
        assert_eq!(verdict.lost, [SendId(2)]);
        assert_eq!(verdict.faults().len(), 1);
    }

    #[test]
    fn what_comes_again_before_the_receipt_of_its_ack_is_no_fault() {
        let verdict = judged(STRICT, &[sent(1), receipted(1), delivered(ONE, 1), acked(ONE, 1), redelivered(OTHER, 1)]);
        assert_eq!((verdict.again.len(), verdict.crossed, verdict.redelivered), (0, 0, 1));
    }

    #[test]
    fn what_comes_to_a_session_that_began_after_the_receipt_of_its_ack_comes_again() {
        let late = SessionId(4);
        let before = [sent(1), receipted(1), delivered(ONE, 1), acked(ONE, 1), ack_receipted(ONE, 1)];
        let verdict = judged(STRICT, &[&before[..], &[What::Opened(late), redelivered(late, 1)]].concat());
        assert_eq!(verdict.again, [(SendId(1), late)]);
    }

    #[test]
    fn an_ack_just_before_a_node_was_struck_may_be_forgotten_by_an_upstream_that_does_so() {
        let forgetful = Promises { acks_forgotten_within: Some(Duration::from_secs(2)), ..STRICT };
        let late = SessionId(4);
        let before = [sent(1), receipted(1), delivered(ONE, 1), acked(ONE, 1), ack_receipted(ONE, 1)];
        let after = [What::Struck, What::Opened(late), redelivered(late, 1)];
        let both = [&before[..], &after].concat();
        let count = |verdict: Verdict| (verdict.again.len(), verdict.forgotten);
        assert_eq!(count(judged(forgetful, &both)), (0, 1));
        assert_eq!(count(judged(STRICT, &both)), (1, 0));
        assert_eq!(count(judged(forgetful, &[&before[..], &after[1..]].concat())), (1, 0), "nothing was struck");
        let long_before = [&before[..], &[sent(2), sent(3), sent(4)], &after].concat();
        assert_eq!(count(judged(forgetful, &long_before)), (1, 0));
    }

    #[test]
    fn what_may_have_been_on_its_way_when_the_receipt_of_its_ack_came_is_only_counted() {
        let before = [sent(1), receipted(1), delivered(ONE, 1), acked(ONE, 1), ack_receipted(ONE, 1)];
        let verdict = judged(STRICT, &[&before[..], &[redelivered(OTHER, 1)]].concat());
        assert_eq!((verdict.again.len(), verdict.crossed), (0, 1));
    }

    #[test]
    fn an_answer_to_a_later_ack_proves_that_what_comes_behind_it_was_not_on_its_way() {
        let before = [
            sent(1),
            receipted(1),
            sent(2),
            receipted(2),
            delivered(OTHER, 2),
            delivered(ONE, 1),
            acked(ONE, 1),
            ack_receipted(ONE, 1),
        ];
        let asked = [acked(OTHER, 2), ack_receipted(OTHER, 2), redelivered(OTHER, 1)];
        assert_eq!(judged(STRICT, &[&before[..], &asked].concat()).again, [(SendId(1), OTHER)]);
        let too_early = [&[acked(OTHER, 2)][..], &before[..], &asked[1..]].concat();
        assert_eq!(judged(STRICT, &too_early).again, [], "that ACK was written before");
    }

    #[test]
    fn a_message_after_a_later_one_of_its_producer_is_out_of_order_in_one_session_only() {
        let before = [sent(1), receipted(1), sent(2), receipted(2), delivered(ONE, 2)];
        let with = |last| judged(STRICT, &[&before[..], &[last]].concat()).reordered;
        assert_eq!(with(delivered(ONE, 1)), [(SendId(1), SendId(2))]);
        assert_eq!(with(delivered(OTHER, 1)), []);
        assert_eq!(with(redelivered(ONE, 1)), []);
    }

    #[test]
    fn a_send_that_may_have_been_repeated_may_come_twice() {
        let promises = Promises { sent_again_after: Some(Duration::from_secs(2)), ..STRICT };
        let late = SessionId(4);
        let rest = [delivered(ONE, 1), acked(ONE, 1), ack_receipted(ONE, 1), What::Opened(late), delivered(late, 1)];
        let count = |verdict: Verdict| (verdict.again.len(), verdict.doubled);
        let quick = [&[sent(1), receipted(1)][..], &rest].concat();
        assert_eq!(count(judged(promises, &quick)), (1, 0));
        let slow = [&[sent(1)][..], &rest, &[receipted(1)]].concat();
        assert_eq!(count(judged(promises, &slow)), (0, 1));
        assert_eq!(count(judged(STRICT, &slow)), (1, 0));
    }

    #[test]
    fn a_send_that_may_have_been_repeated_may_come_late() {
        let promises = Promises { sent_again_after: Some(Duration::from_secs(2)), ..STRICT };
        let quick =
            judged(promises, &[sent(1), receipted(1), sent(2), receipted(2), delivered(ONE, 2), delivered(ONE, 1)]);
        assert_eq!((quick.reordered.len(), quick.late), (1, 0));
        let slow =
            judged(promises, &[sent(1), sent(2), receipted(1), receipted(2), delivered(ONE, 2), delivered(ONE, 1)]);
        assert_eq!((slow.reordered.len(), slow.late), (0, 1));
        let unconfirmed = judged(promises, &[sent(1), sent(2), receipted(2), delivered(ONE, 2), delivered(ONE, 1)]);
        assert_eq!((unconfirmed.reordered.len(), unconfirmed.late), (0, 1));
    }

    #[test]
    fn pauses_are_spread_when_hardly_any_two_are_the_same() {
        let pauses = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>();
        assert!(are_spread(&pauses(&[])));
        assert!(are_spread(&pauses(&[17, 3, 99, 42])));
        assert!(!are_spread(&pauses(&[1, 2, 4, 1, 2, 4])), "a back-off without chance");
    }
}
