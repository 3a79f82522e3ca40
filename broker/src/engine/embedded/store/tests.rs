//! What a store keeps over an orderly end and over a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{engine::Ticket, message::Message, stomp::Header};

const ROOMY: usize = 1 << 30;

fn persistence(directory: &Path, size: u64) -> Persistence {
    Persistence { directory: directory.to_owned(), size: ByteSize(size) }
}

fn open(folder: &TempDir) -> (Store, Vec<Recovered>) {
    open_with(folder.path(), 1 << 30, ROOMY).unwrap()
}

fn open_with(directory: &Path, size: u64, limit: usize) -> Result<(Store, Vec<Recovered>), StoreError> {
    let mut found = Vec::new();
    let store = Store::open(&persistence(directory, size), limit, |recovered| found.push(recovered))?;
    Ok((store, found))
}

fn stored_in(queue: Option<&str>, headers: Vec<Header>, body: &[u8], content_length: bool) -> Stored {
    let message = Message::new("m-1".into(), "/queue/a".into(), headers, body.to_vec().into(), content_length);
    Stored {
        queue: queue.map(Into::into),
        message: Arc::new(message),
        entered: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        returns: 0,
    }
}

fn stored(body: &str) -> Stored {
    stored_in(None, vec![], body.as_bytes(), true)
}

fn bodies(found: &[Recovered]) -> Vec<&str> {
    found.iter().map(|recovered| std::str::from_utf8(&recovered.stored.message.body).unwrap()).collect()
}

/// A session that asks for answers by number.
struct Asker {
    mailbox: Arc<Mailbox>,
    place: Place,
    next: u64,
    answered: Vec<(u64, bool)>,
}

impl Asker {
    fn new() -> Self {
        Self { mailbox: Arc::new(Mailbox::new(ROOMY)), place: Place::default(), next: 0, answered: vec![] }
    }

    fn ask(&mut self, store: &Store, depends: bool) -> u64 {
        self.next += 1;
        store.answer(&mut self.place, &self.mailbox, Event::Completed(Ticket(self.next)), depends);
        self.next
    }

    /// What has been answered, in order, and whether it went well.
    fn answers(&mut self) -> &[(u64, bool)] {
        let mut batch = Vec::new();
        self.mailbox.take(&mut batch);
        for event in batch {
            match event {
                Event::Completed(ticket) => self.answered.push((ticket.0, true)),
                Event::Failed { ticket: Some(ticket), error: EngineError::NotStored(_) } => {
                    self.answered.push((ticket.0, false));
                }
                Event::Ready => {}
                other => panic!("{other:?}"),
            }
        }
        &self.answered
    }

    /// Waits for all answers.
    #[track_caller]
    fn wait(&mut self) -> &[(u64, bool)] {
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while (self.answers().len() as u64) < self.next {
            assert!(std::time::Instant::now() < deadline, "no answer: {:?}", self.answered);
            std::thread::sleep(Duration::from_millis(1));
        }
        &self.answered
    }

    /// Has everything that was added until now made safe.
    #[track_caller]
    fn sync(&mut self, store: &Store) {
        let asked = self.ask(store, true);
        assert_eq!(self.wait().last(), Some(&(asked, true)));
    }
}

#[test]
fn a_message_comes_back_octet_by_octet() {
    let folder = tempfile::tempdir().unwrap();
    let headers: Vec<Header> = vec![
        ("persistent".into(), "true".into()),
        ("zeile\n\r\t\u{0}\\:".into(), "größe \u{1F980} \"quoted\"".into()),
        ("empty".into(), "".into()),
    ];
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let (store, _) = open(&folder);
    store.enter(stored_in(Some("/queue/other"), headers.clone(), &body, false));
    store.enter(stored_in(None, vec![], b"", true));
    drop(store);
    let (_store, found) = open(&folder);
    let [first, second] = &found[..] else { panic!("{found:?}") };
    assert_eq!(first.stored.queue.as_deref(), Some("/queue/other"));
    assert_eq!(first.stored.entered, stored("").entered);
    let message = &first.stored.message;
    assert_eq!((&*message.id, &*message.destination, message.content_length), ("m-1", "/queue/a", false));
    assert_eq!((&message.headers, &*message.body), (&headers, &body[..]));
    assert_eq!((&second.stored.queue, second.stored.message.content_length), (&None, true));
    assert!(second.stored.message.body.is_empty() && second.stored.message.headers.is_empty());
}

#[test]
fn what_was_answered_survives_a_crash_in_its_order_and_what_left_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, found) = open(&folder);
    assert!(found.is_empty());
    let ids: Vec<_> = (0..10).map(|number| store.enter(stored(&number.to_string()))).collect();
    Asker::new().sync(&store);
    store.leave(ids[0]);
    store.leave(ids[7]);
    Asker::new().sync(&store);
    store.crash();
    let (_store, found) = open(&folder);
    assert_eq!(bodies(&found), ["1", "2", "3", "4", "5", "6", "8", "9"]);
    assert!(found.iter().all(|recovered| recovered.redelivered), "after a crash nobody knows what was delivered");
}

#[test]
fn after_an_orderly_end_only_what_was_given_back_is_redelivered() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let first = store.enter(stored("given back"));
    store.enter(stored("never delivered"));
    Asker::new().sync(&store);
    store.give_back(first, 3);
    drop(store);
    let (_store, found) = open(&folder);
    let known: Vec<_> = found.iter().map(|recovered| (recovered.stored.returns, recovered.redelivered)).collect();
    assert_eq!(known, [(3, true), (0, false)]);
}

#[test]
fn ids_go_on_where_the_last_process_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let first = store.enter(stored("1"));
    drop(store);
    let (store, _) = open(&folder);
    assert!(store.enter(stored("2")) > first);
    drop(store);
    assert_eq!(bodies(&open(&folder).1), ["1", "2"]);
}

#[test]
fn nothing_is_committed_while_changes_are_kept_together() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let old = store.enter(stored("taken"));
    Asker::new().sync(&store);
    let mut asker = Asker::new();
    let together = store.together();
    store.leave(old);
    store.enter(stored("sent"));
    asker.ask(&store, true);
    assert!(asker.answers().is_empty());
    store.channel.end();
    drop(together);
    drop(store);
    assert_eq!(asker.wait(), [(1, false)], "a commit that was cut off is told");
    let (_store, found) = open(&folder);
    assert_eq!(bodies(&found), ["taken"], "both changes are lost together");
}

#[test]
fn answers_of_a_session_keep_their_order_and_those_that_depend_on_nothing_are_given_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let (mut sender, mut other) = (Asker::new(), Asker::new());
    let together = store.together();
    sender.ask(&store, false);
    store.enter(stored("1"));
    sender.ask(&store, true);
    sender.ask(&store, false);
    other.ask(&store, false);
    assert_eq!(sender.answers(), [(1, true)]);
    assert_eq!(other.answers(), [(1, true)]);
    drop(together);
    assert_eq!(sender.wait(), [(1, true), (2, true), (3, true)]);
}

#[test]
fn a_message_that_left_before_it_was_written_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let mut asker = Asker::new();
    let before = store.status().used;
    let together = store.together();
    let id = store.enter(stored(&"x".repeat(100_000)));
    asker.ask(&store, true);
    store.leave(id);
    drop(together);
    assert_eq!(asker.wait(), [(1, true)]);
    assert_eq!(store.status().used, before);
}

#[test]
fn sessions_are_held_back_while_much_waits_and_told_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let asker = Asker::new();
    let together = store.together();
    assert!(store.is_ready(&asker.mailbox));
    for _ in 0..100 {
        store.enter(stored(&"x".repeat(64 << 10)));
    }
    assert!(!store.is_ready(&asker.mailbox));
    assert!(!store.is_ready(&asker.mailbox));
    drop(together);
    Asker::new().sync(&store);
    let mut batch = Vec::new();
    asker.mailbox.take(&mut batch);
    assert!(matches!(batch[..], [Event::Ready]), "told once: {batch:?}");
    assert!(store.is_ready(&asker.mailbox));
}

#[test]
fn a_full_store_says_so_and_goes_on_when_messages_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open_with(folder.path(), 1 << 20, ROOMY).unwrap();
    let old: Vec<_> = (0..10).map(|_| store.enter(stored(&"o".repeat(64 << 10)))).collect();
    Asker::new().sync(&store);
    let mut asker = Asker::new();
    for _ in 0..10 {
        store.enter(stored(&"n".repeat(64 << 10)));
    }
    asker.ask(&store, true);
    assert_eq!(asker.wait(), [(1, false)]);
    let refusal = store.admit().unwrap_err().to_string();
    assert!(refusal.contains("engine.embedded.persistence.size (1Mi)"), "{refusal}");
    assert!(store.status().failures > 0 && store.status().trouble.is_some());
    for id in old {
        store.leave(id);
    }
    // An attempt that was under way may still fail.
    let mut asker = Asker::new();
    while asker.answers().last().is_none_or(|(_, well)| !well) {
        asker.ask(&store, true);
        asker.wait();
    }
    drop(store);
    let (_store, found) = open(&folder);
    assert_eq!(found.len(), 10);
    assert!(bodies(&found).iter().all(|body| body.starts_with('n')), "what was refused to be written first is there");
}

#[test]
fn room_is_kept_for_taking_messages_out() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open_with(folder.path(), 32 << 20, ROOMY).unwrap();
    let mut asker = Asker::new();
    let mut count = 0;
    while store.admit().is_ok() {
        store.enter(stored(&"x".repeat(64 << 10)));
        asker.sync(&store);
        count += 1;
        assert!(count < 1000, "the bound is never reached");
    }
    let refusal = store.admit().unwrap_err().to_string();
    assert!(refusal.contains("engine.embedded.persistence.size (32Mi)"), "{refusal}");
    assert!(count > 100, "{count} messages of 64 KiB");
    assert_eq!(store.status().failures, 0);
}

#[test]
fn a_store_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _) = open(&folder);
    let refusal = open_with(folder.path(), 1 << 30, ROOMY).unwrap_err();
    assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal}");
}

#[test]
fn other_formats_and_other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let file = folder.path().join("messages.sqlite");
    let change = |pragma: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(pragma).unwrap();
    change("PRAGMA user_version = 99");
    let refusal = open_with(folder.path(), 1 << 30, ROOMY).unwrap_err();
    assert!(matches!(refusal, StoreError::Format { found: 99, .. }), "{refusal}");
    change("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let refusal = open_with(folder.path(), 1 << 30, ROOMY).unwrap_err();
    assert!(matches!(refusal, StoreError::Foreign { .. }), "{refusal}");
    std::fs::write(&file, "not a database at all, but long enough to look like something").unwrap();
    let refusal = open_with(folder.path(), 1 << 30, ROOMY).unwrap_err();
    assert!(matches!(refusal, StoreError::Foreign { .. }), "{refusal}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("not a database"));
}

#[test]
fn a_store_that_does_not_fit_the_memory_is_refused_with_the_key_to_raise() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    for _ in 0..20 {
        store.enter(stored(&"x".repeat(1000)));
    }
    drop(store);
    let refusal = open_with(folder.path(), 1 << 30, 16 << 10).unwrap_err().to_string();
    assert!(refusal.contains("engine.embedded.queueSize") && refusal.contains("16Ki"), "{refusal}");
    assert_eq!(open(&folder).1.len(), 20, "nothing is lost by that");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refusal = open_with(&file.join("store"), 1 << 30, ROOMY).unwrap_err();
    assert!(matches!(refusal, StoreError::Directory { .. }), "{refusal}");
}

#[derive(Clone, Debug)]
enum Step {
    /// A message for one of two queues.
    Enter(bool),
    /// Of those that are there, the one with this number modulo their count.
    GiveBack(usize),
    Leave(usize),
    /// Takes one out and puts another in, together.
    Move(usize),
    Ask,
    Wait,
    Restart,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Enter),
        2 => any::<usize>().prop_map(Step::GiveBack),
        4 => any::<usize>().prop_map(Step::Leave),
        2 => any::<usize>().prop_map(Step::Move),
        3 => Just(Step::Ask),
        1 => Just(Step::Wait),
        1 => Just(Step::Restart),
        2 => Just(Step::Crash),
    ]
}

/// What is in memory, and what must be on disk: a state for each answer that is awaited, the oldest the last that came.
struct Model {
    now: BTreeMap<StoredId, (u64, u32)>,
    /// After the last answer, and after every change since then.
    possible: Vec<BTreeMap<StoredId, (u64, u32)>>,
    /// Which of `possible` an answer makes certain.
    asked: Vec<(u64, usize)>,
}

impl Model {
    fn changed(&mut self) {
        self.possible.push(self.now.clone());
    }

    fn answered(&mut self, answers: &[(u64, bool)]) {
        let well: BTreeSet<u64> = answers.iter().filter(|(_, well)| *well).map(|(number, _)| *number).collect();
        let certain = self.asked.iter().filter(|(number, _)| well.contains(number)).map(|(_, at)| *at).max();
        let Some(certain) = certain else { return };
        self.possible.drain(..certain);
        self.asked.retain_mut(|(number, at)| {
            *at = at.saturating_sub(certain);
            !well.contains(number)
        });
    }

    fn restart(&mut self, found: &[Recovered]) {
        let found: BTreeMap<_, _> = found
            .iter()
            .map(|recovered| {
                let number = std::str::from_utf8(&recovered.stored.message.body).unwrap().parse().unwrap();
                (recovered.id, (number, recovered.stored.returns))
            })
            .collect();
        assert!(self.possible.contains(&found), "found {found:?}, but it could only be one of {:?}", self.possible);
        self.now.clone_from(&found);
        self.possible = vec![found];
        self.asked.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_is_always_as_it_was_at_some_moment_after_the_last_answer(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(&folder);
        let mut asker = Asker::new();
        let mut model = Model { now: BTreeMap::new(), possible: vec![BTreeMap::new()], asked: vec![] };
        let mut number = 0;
        for step in steps {
            let pick = |which: usize, model: &Model| {
                (!model.now.is_empty()).then(|| *model.now.keys().nth(which % model.now.len()).unwrap())
            };
            match step {
                Step::Enter(other) => {
                    number += 1;
                    let id = store.enter(stored_in(other.then_some("/queue/b"), vec![], number.to_string().as_bytes(), true));
                    model.now.insert(id, (number, 0));
                    model.changed();
                }
                Step::GiveBack(which) => if let Some(id) = pick(which, &model) {
                    let returns = &mut model.now.get_mut(&id).unwrap().1;
                    *returns += 1;
                    store.give_back(id, *returns);
                    model.changed();
                },
                Step::Leave(which) => if let Some(id) = pick(which, &model) {
                    store.leave(id);
                    model.now.remove(&id);
                    model.changed();
                },
                Step::Move(which) => if let Some(id) = pick(which, &model) {
                    let _together = store.together();
                    store.leave(id);
                    let (moved, _) = model.now.remove(&id).unwrap();
                    let id = store.enter(stored(&moved.to_string()));
                    model.now.insert(id, (moved, 0));
                    model.changed();
                },
                Step::Ask => {
                    let asked = asker.ask(&store, true);
                    model.asked.push((asked, model.possible.len() - 1));
                }
                Step::Wait => {
                    asker.wait();
                }
                Step::Restart => {
                    drop(store);
                    model.possible = vec![model.now.clone()];
                    let (opened, found) = open(&folder);
                    model.restart(&found);
                    store = opened;
                }
                Step::Crash => {
                    store.crash();
                    model.answered(asker.wait());
                    let (opened, found) = open(&folder);
                    model.restart(&found);
                    store = opened;
                }
            }
            model.answered(asker.answers());
        }
    }
}
