//! Sends what applications answer on to the engine, as a session of its own that no client has.
//!
//! The engine's half of that session is opened with the first message, and again when the engine has ended it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    engine::{Engine, EngineError, EngineSession, Event, Operation, SessionInfo, Ticket},
    mailbox::Mailbox,
    message::Message,
};

/// Messages that wait for the engine.
const QUEUE: usize = 1024;
/// How long the engine may take to say that it has a message.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause after the engine has refused the session.
const OPEN_AGAIN: Duration = Duration::from_millis(500);

/// Why a message was not sent on.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PublishError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the engine has not taken the message within {DEADLINE:?}")]
    Deadline,
    #[error("{QUEUE} messages wait for the engine already")]
    Full,
}

type Outcome = Result<(), EngineError>;

/// A message, and whom to tell what has become of it.
#[derive(Debug)]
pub(super) struct Publication {
    message: Arc<Message>,
    then: oneshot::Sender<Outcome>,
}

/// Hands messages to the task that sends them on.
#[derive(Clone, Debug)]
pub(super) struct Publisher(mpsc::Sender<Publication>);

impl Publisher {
    /// A publisher, and what [`run`] takes.
    pub(super) fn new() -> (Self, mpsc::Receiver<Publication>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Sends a message on and waits until the engine has it.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let (then, outcome) = oneshot::channel();
        let publication = Publication { message: Arc::new(message), then };
        let published = async {
            self.0.send(publication).await.map_err(|_| EngineError::NotAvailable)?;
            outcome.await.unwrap_or(Err(EngineError::NotAvailable))
        };
        Ok(timeout(DEADLINE, published).await.map_err(|_| PublishError::Deadline)??)
    }

    /// Sends a message on without waiting for anything.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) fn try_publish(&self, message: Message) -> Result<(), PublishError> {
        let (then, _) = oneshot::channel();
        self.0.try_send(Publication { message: Arc::new(message), then }).map_err(|_| PublishError::Full)
    }
}

/// The engine's half of the session, and what it has not answered.
struct Open {
    half: Box<dyn EngineSession>,
    mailbox: Arc<Mailbox>,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
    tickets: u64,
}

/// Sends messages on for ever, as the session of this id; ends only when it is dropped.
pub(super) async fn run(engine: Arc<dyn Engine>, session: Arc<str>, mut publications: mpsc::Receiver<Publication>) {
    while let Some(first) = publications.recv().await {
        let info = SessionInfo { id: Arc::clone(&session), user: Arc::default(), virtual_host: None, client_id: None };
        // It subscribes to nothing, so there are no deliveries to bound.
        let mailbox = Arc::new(Mailbox::new(0));
        match engine.open(&info, Arc::clone(&mailbox)) {
            Ok(half) => {
                let open = Open { half, mailbox, waiting: HashMap::new(), tickets: 0 };
                open.serve(first, &mut publications).await;
            }
            Err(error) => {
                let _ = first.then.send(Err(error));
                sleep(OPEN_AGAIN).await;
            }
        }
    }
}

impl Open {
    /// Sends messages on until the engine ends the session, or nobody has any more.
    async fn serve(mut self, first: Publication, publications: &mut mpsc::Receiver<Publication>) {
        self.submit(first);
        let mailbox = Arc::clone(&self.mailbox);
        loop {
            let is_ready = self.half.is_ready();
            tokio::select! {
                publication = publications.recv(), if is_ready => match publication {
                    Some(publication) => self.submit(publication),
                    None => return,
                },
                () = mailbox.ready() => if let Err(error) = self.take_events() {
                    for (_, then) in self.waiting {
                        let _ = then.send(Err(error.clone()));
                    }
                    return;
                },
            }
        }
    }

    fn submit(&mut self, Publication { message, then }: Publication) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, then);
        self.half.submit(Operation::Send(message), Some(ticket));
        self.half.flush();
    }

    /// Tells what the engine says to those that wait for it; an error is the end.
    fn take_events(&mut self) -> Result<(), EngineError> {
        let mut events = Vec::new();
        self.mailbox.take(&mut events);
        for event in events {
            // Who does not wait any more does not need to know.
            match event {
                Event::Completed(ticket) => {
                    let _ = self.waiting.remove(&ticket).map(|then| then.send(Ok(())));
                }
                Event::Failed { ticket: Some(ticket), error } => {
                    let _ = self.waiting.remove(&ticket).map(|then| then.send(Err(error)));
                }
                Event::Failed { ticket: None, error } | Event::Closed(error) => return Err(error),
                Event::Delivery(_) | Event::Broadcast(..) | Event::Refused(_) | Event::Ready => {}
            }
        }
        Ok(())
    }
}
