//! Of which StompBrokers somebody wants to know what their pods have to do (pure but for the clock).
//!
//! The replica that leads asks all pods anyway. Another one asks only those that its own clients have asked it for lately.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::controller::watches::cache::Key;

/// Who was not asked for during this time is not wanted any more. Autoscalers ask every 15 seconds, of several replicas one.
const FORGOTTEN: Duration = Duration::from_mins(10);

/// What was asked for, and when.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    brokers: Mutex<HashMap<Key, Instant>>,
    news: Notify,
}

impl Asked {
    /// Somebody asks for `broker`; says whether nobody has lately.
    pub(crate) fn note(&self, broker: Key) -> bool {
        let mut brokers = self.brokers.lock();
        let first = brokers.get(&broker).is_none_or(|last| last.elapsed() >= FORGOTTEN);
        brokers.insert(broker, Instant::now());
        if first {
            brokers.retain(|_, last| last.elapsed() < FORGOTTEN);
            self.news.notify_one();
        }
        first
    }

    /// Whether `broker` was asked for lately.
    pub(crate) fn wants(&self, broker: &Key) -> bool {
        self.brokers.lock().get(broker).is_some_and(|last| last.elapsed() < FORGOTTEN)
    }

    /// Ends when a broker was asked for that had not been.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_question_is_news_and_the_next_is_not() {
        let asked = Asked::default();
        let trading = Key::new("markets", "trading");
        assert!(!asked.wants(&trading));
        assert!(asked.note(trading.clone()));
        asked.news().await;
        assert!(!asked.note(trading.clone()));
        assert!(asked.wants(&trading));
    }
}
