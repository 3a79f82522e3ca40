//! Asks every running pod for its state, again and again, and wishes for a pass when something has changed that matters.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    admin::{AdminClient, AskError, Token},
    asked::Asked,
    reports::{News, Reports},
};
use crate::{
    controller::{
        managed::Managed,
        triggers::Triggers,
        watches::{cache::Key, world::World},
    },
    metrics::{Metrics, ResultLabel},
    plan::names,
};

/// Questions at once, over all brokers.
const QUESTIONS: usize = 64;
/// Questions at once to the pods of one broker.
const QUESTIONS_PER_BROKER: usize = 8;
/// A change of nothing but the number of sessions leads to a pass at most so often.
const SESSIONS_EVERY: Duration = Duration::from_secs(10);

/// Asks the pods.
pub(crate) struct Poller {
    pub(crate) client: Client,
    /// The pods of all others are none of ours to ask.
    pub(crate) managed: Managed,
    pub(crate) world: Arc<World>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) metrics: Metrics,
    /// Which brokers are asked though this replica does not lead.
    pub(crate) asked: Arc<Asked>,
}

/// What is remembered of one broker from round to round.
#[derive(Debug, Default)]
struct Memory {
    token: Option<Token>,
    sessions_told: Option<Instant>,
    sessions_pending: bool,
}

/// A pod to ask.
#[derive(Clone, Debug)]
struct Pod {
    uid: String,
    name: String,
    address: String,
}

impl Poller {
    /// Asks all pods every `every`, until `stop`; while another replica leads only those that were asked for. A broker whose pods are slow delays no other.
    pub(crate) async fn run(self, every: Duration, stop: CancellationToken) {
        let this = Arc::new(self);
        let admin = AdminClient::new();
        let places = Arc::new(Semaphore::new(QUESTIONS));
        let mut memories: HashMap<Key, Memory> = HashMap::new();
        let mut busy: HashSet<Key> = HashSet::new();
        let mut rounds: JoinSet<(Key, Memory)> = JoinSet::new();
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = rounds.join_next() => match done {
                    Ok((key, memory)) => {
                        busy.remove(&key);
                        memories.insert(key, memory);
                    }
                    Err(error) => debug!(%error, "a round of questions ended early"),
                },
                () = async { tokio::select! { _ = ticks.tick() => {}, () = this.asked.news() => {} } } => {
                    let pods = this.pods();
                    memories.retain(|key, _| pods.contains_key(key));
                    for (key, pods) in pods {
                        if busy.insert(key.clone()) {
                            let memory = memories.remove(&key).unwrap_or_default();
                            rounds.spawn(this.clone().round(key, pods, memory, admin.clone(), places.clone()));
                        }
                    }
                }
            }
        }
        rounds.shutdown().await;
    }

    /// The pods to ask, by broker; forgets the reports of all others.
    fn pods(&self) -> BTreeMap<Key, Vec<Pod>> {
        let mut pods: BTreeMap<Key, Vec<Pod>> = BTreeMap::new();
        let mut uids = HashSet::new();
        for (namespace, name, entry) in self.world.pods.lock().iter() {
            if let (Some(broker), Some(address)) = (&entry.broker, &entry.address) {
                let broker = Key::new(namespace, broker.clone());
                let wanted = self.triggers.leading() || self.asked.wants(&broker);
                if !wanted || !self.managed.has(&broker) {
                    continue;
                }
                let uid = &entry.view.uid;
                uids.insert(uid.clone());
                let pod = Pod { uid: uid.clone(), name: name.to_owned(), address: address.clone() };
                pods.entry(broker).or_default().push(pod);
            }
        }
        self.reports.retain(&uids);
        pods
    }

    async fn round(
        self: Arc<Self>,
        key: Key,
        pods: Vec<Pod>,
        mut memory: Memory,
        admin: AdminClient,
        places: Arc<Semaphore>,
    ) -> (Key, Memory) {
        let token = match memory.token.take() {
            Some(token) => Ok(token),
            None => self.token(&key).await,
        };
        let (mut news, refused) = self.ask(&pods, &token, &admin, &places).await;
        memory.token = token.ok();
        if !refused.is_empty() {
            // The Secret may have been replaced.
            let token = self.token(&key).await;
            let (again, refused) = self.ask(&refused, &token, &admin, &places).await;
            news = news.max(again);
            for pod in &refused {
                news = news.max(self.reports.put(&pod.uid, Err(AskError::Unauthorized.to_string())));
            }
            // Still refused: the pods may not have the new token yet, so it is read again in the next round.
            memory.token = token.ok().filter(|_| refused.is_empty());
        }
        memory.sessions_pending |= news == News::Sessions;
        let due = memory.sessions_told.is_none_or(|told| told.elapsed() >= SESSIONS_EVERY);
        if news == News::Matter || (memory.sessions_pending && due) {
            memory.sessions_pending = false;
            memory.sessions_told = Some(Instant::now());
            self.triggers.reconcile([key.clone()]).await;
        }
        (key, memory)
    }

    /// Asks `pods`; gives what is new and the pods that do not know the token.
    async fn ask(
        &self,
        pods: &[Pod],
        token: &Result<Token, String>,
        admin: &AdminClient,
        places: &Semaphore,
    ) -> (News, Vec<Pod>) {
        let questions: Vec<_> = pods.iter().map(|pod| self.ask_one(pod, token, admin, places)).collect();
        let answers: Vec<_> = stream::iter(questions).buffer_unordered(QUESTIONS_PER_BROKER).collect().await;
        let news = answers.iter().map(|(news, _)| *news).max().unwrap_or(News::None);
        (news, answers.into_iter().filter_map(|(_, refused)| refused).collect())
    }

    /// Asks one pod; gives what is new, and the pod if it does not know the token.
    async fn ask_one(
        &self,
        pod: &Pod,
        token: &Result<Token, String>,
        admin: &AdminClient,
        places: &Semaphore,
    ) -> (News, Option<Pod>) {
        let answer = match token {
            Ok(token) => {
                let _place = places.acquire().await;
                admin.status(&pod.address, token).await
            }
            Err(why) => Err(AskError::Failed(format!("the admin token cannot be read: {why}"))),
        };
        let (result, report) = match answer {
            Ok(status) => ("answered", Ok(status)),
            Err(AskError::Unauthorized) => ("unauthorized", Err(None)),
            Err(AskError::Failed(why)) => ("failed", Err(Some(why))),
        };
        self.metrics.pod_polls.get_or_create(&ResultLabel { result }).inc();
        match report {
            Ok(status) => (self.reports.put(&pod.uid, Ok(status)), None),
            Err(None) => (News::None, Some(pod.clone())),
            Err(Some(why)) => {
                debug!(pod = pod.name, why, "a pod was asked in vain");
                (self.reports.put(&pod.uid, Err(why)), None)
            }
        }
    }

    async fn token(&self, broker: &Key) -> Result<Token, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &broker.namespace);
        let name = names::admin_secret(&broker.name);
        let secret = api.get(&name).await.map_err(|error| crate::error::chain(&error))?;
        let octets = secret.data.and_then(|mut data| data.remove(names::ADMIN_TOKEN_KEY));
        octets
            .and_then(|octets| Token::new(&octets.0))
            .ok_or_else(|| format!("Secret {name} has no usable value for the key {}", names::ADMIN_TOKEN_KEY))
    }
}
