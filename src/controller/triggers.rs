//! Who wants a pass over a StompBroker says so here.
//!
//! What a user does is answered at once. News of children come in bursts, a Deployment alone says three things within a second,
//! and so they wait a little for each other: one pass sees them all.

use std::{
    collections::{HashSet, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{Stream, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::watches::{cache::Key, kept::KeptBroker};

/// Wishes that may wait; who wishes more waits himself.
const CAPACITY: usize = 1024;
/// How long the first of some news waits for more.
const BURST: Duration = Duration::from_millis(500);

/// A reference to a StompBroker, readable or not.
pub(crate) type BrokerRef = ObjectRef<KeptBroker>;

/// When a pass is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    Soon,
}

/// Takes wishes for passes; those of a replica that does not lead are forgotten.
#[derive(Debug)]
pub(crate) struct Triggers {
    queue: mpsc::Sender<(BrokerRef, When)>,
    leading: AtomicBool,
}

/// What has been wished for.
#[derive(Debug)]
pub(crate) struct Wishes {
    queue: mpsc::Receiver<(BrokerRef, When)>,
    /// Those that wait for more news, in the order of their time.
    waiting: VecDeque<(Instant, BrokerRef)>,
    /// The same, to find them.
    known: HashSet<BrokerRef>,
}

impl Triggers {
    /// The two ends of the queue.
    pub(crate) fn new() -> (Self, Wishes) {
        let (queue, receiver) = mpsc::channel(CAPACITY);
        let wishes = Wishes { queue: receiver, waiting: VecDeque::new(), known: HashSet::new() };
        (Self { queue, leading: AtomicBool::new(false) }, wishes)
    }

    /// From now on wishes count. All that is in the caches by now needs a pass.
    pub(crate) fn lead(&self) {
        self.leading.store(true, Ordering::SeqCst);
    }

    /// Whether wishes count.
    pub(crate) fn leading(&self) -> bool {
        self.leading.load(Ordering::SeqCst)
    }

    /// Wishes for a pass over each of `brokers`.
    pub(crate) async fn reconcile(&self, brokers: impl IntoIterator<Item = Key>) {
        self.wish(brokers, When::Now).await;
    }

    /// Wishes for a pass over each of `brokers` for news of its children.
    pub(crate) async fn news(&self, brokers: impl IntoIterator<Item = Key>) {
        self.wish(brokers, When::Soon).await;
    }

    async fn wish(&self, brokers: impl IntoIterator<Item = Key>, when: When) {
        if !self.leading() {
            return;
        }
        for broker in brokers {
            // Fails only when the work loop has ended, and then the process ends as well.
            let _ = self.queue.send((BrokerRef::new(&broker.name).within(&broker.namespace), when)).await;
        }
    }
}

impl Wishes {
    /// The brokers that need a pass, each when it does.
    pub(crate) fn into_stream(self) -> impl Stream<Item = BrokerRef> {
        stream::unfold(self, async |mut wishes| Some((wishes.next().await?, wishes)))
    }

    async fn next(&mut self) -> Option<BrokerRef> {
        loop {
            let due = self.waiting.front().map(|(due, _)| *due);
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                wish = self.queue.recv() => match wish? {
                    (broker, When::Now) => return Some(broker),
                    (broker, When::Soon) => if self.known.insert(broker.clone()) {
                        self.waiting.push_back((Instant::now() + BURST, broker));
                    },
                },
                () = wait => if let Some((_, broker)) = self.waiting.pop_front() {
                    self.known.remove(&broker);
                    return Some(broker);
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn news_that_come_together_are_one_wish_and_users_do_not_wait() {
        let (triggers, wishes) = Triggers::new();
        triggers.lead();
        let mut wishes = std::pin::pin!(wishes.into_stream());
        let [chat, shop] = ["chat", "shop"].map(|name| Key::new("markets", name));
        for _ in 0..3 {
            triggers.news([chat.clone()]).await;
        }
        triggers.reconcile([shop]).await;
        assert_eq!(wishes.next().now_or_never().flatten().map(|broker| broker.name), Some("shop".to_owned()));
        assert_eq!(wishes.next().await.map(|broker| broker.name), Some("chat".to_owned()));
        settle().await;
        assert!(wishes.next().now_or_never().is_none(), "all three were one");
        triggers.news([chat]).await;
        assert_eq!(wishes.next().await.map(|broker| broker.name), Some("chat".to_owned()), "later ones are another");
    }

    #[tokio::test(start_paused = true)]
    async fn news_that_never_end_do_not_put_a_pass_off() {
        let (triggers, wishes) = Triggers::new();
        triggers.lead();
        let mut wishes = std::pin::pin!(wishes.into_stream());
        let first = Instant::now();
        let passes = async {
            for _ in 0..3 {
                wishes.next().await;
            }
        };
        let news = async {
            loop {
                triggers.news([Key::new("markets", "chat")]).await;
                tokio::time::sleep(BURST / 10).await;
            }
        };
        tokio::select! { () = passes => {}, () = news => {} }
        assert!(first.elapsed() < 4 * BURST, "{:?}", first.elapsed());
    }

    #[tokio::test]
    async fn what_is_wished_of_a_replica_that_does_not_lead_is_forgotten() {
        let (triggers, wishes) = Triggers::new();
        triggers.reconcile([Key::new("markets", "chat")]).await;
        drop(triggers);
        assert_eq!(std::pin::pin!(wishes.into_stream()).next().await, None);
    }
}
