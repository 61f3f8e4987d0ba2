//! One incarnation of the worker: its lease, its consumer, its receiving and committing tasks.
//!
//! ```text
//!   lease registered ──> consumer ──> receive, sign, commit ──> end: release the lease | lost: nothing more is written
//! ```
//!
//! A worker that loses its lease, or that works again after a drain, begins a new session under a new name: what the
//! old one still had under way answers to the old name and is fenced off.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use petiole_broker::{BrokerError, Parking, Settlement, Start, Tag, Turn, Wish};
use petiole_process::log::Chain;
use petiole_protocol::canvas::builtin::Decision;
use petiole_results::Store;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backoff::Backoff;
use crate::commit::{Committed, Committer, commit};
use crate::connect::{Connect, Holder};
use crate::join::{join, look};
use crate::lease::{LeaseError, LeaseEvent, keep};
use crate::noting::note;
use crate::receive::{Holding, Receipt, Request, receive};
use crate::settle::{Complete, Joined, Unlocking};
use crate::signing::{Signing, says_something, sign};
use crate::tally::Tally;

/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(500);

/// The first and the longest wait before starts are asked for again.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long a lease may take to be given up before the process goes on: it ends by itself soon after.
const RELEASE: Duration = Duration::from_secs(3);

/// What happens in a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// The lease and the connections are there.
    Working,
    /// The broker or the store cannot be reached.
    Failing(String),
    /// The operator wants something else of this worker than before.
    Wish(Wish),
    /// The lease is lost.
    Lost,
    /// Messages were received. `answer` tells an answer to a request from messages that were adopted.
    Received {
        /// The messages.
        messages: Vec<petiole_broker::Delivery>,
        /// They answer a request; the next may be made.
        answer: bool,
    },
    /// What has asked for its start is answered.
    Turns(Vec<(Tag, Turn)>),
    /// The broker knows which attempts have begun: what [`Session::note`] was given.
    Noted,
    /// Something was committed.
    Committed(Committed),
    /// The header of a chord was read that this delivery has completed.
    Joined(Tag, Complete, Joined),
    /// The header of a chord that nobody counts was looked at.
    Unlocked(Tag, Box<Unlocking>, Decision),
}

/// A header that is to be read.
#[derive(Debug)]
enum Header {
    /// Of a chord that this delivery has completed.
    Complete(Tag, Complete),
    /// Of a chord that nobody counts.
    Uncounted(Tag, Box<Unlocking>),
}

/// A session, from the outside.
pub struct Session {
    /// What this incarnation holds.
    pub holding: Holding,
    holder: Arc<OnceLock<Arc<dyn Holder>>>,
    events: mpsc::UnboundedSender<SessionEvent>,
    requests: mpsc::Sender<Request>,
    enough: Arc<Notify>,
    commits: mpsc::UnboundedSender<Settlement>,
    /// What is signed before it is committed, where the pool signs.
    signs: Option<mpsc::UnboundedSender<Settlement>>,
    notes: mpsc::UnboundedSender<Vec<Tag>>,
    headers: mpsc::UnboundedSender<Header>,
    released: oneshot::Receiver<()>,
    stop: CancellationToken,
    cancelled: CancellationToken,
    /// Ends the session's tasks when it is dropped.
    _tasks: DropGuard,
}

impl Session {
    /// Begins a session under a name of its own.
    pub fn begin(
        connect: &Arc<dyn Connect>,
        incarnation: String,
        signing: Option<Arc<Signing>>,
        tally: Tally,
    ) -> Result<(Self, mpsc::UnboundedReceiver<SessionEvent>), LeaseError> {
        let (holding, holder) = (Holding::default(), Arc::<OnceLock<_>>::default());
        let (requests, request_inbox) = mpsc::channel(1);
        let enough = Arc::<Notify>::default();
        let (commits, commit_inbox) = mpsc::unbounded_channel();
        let (signs, sign_inbox) = mpsc::unbounded_channel();
        let signs = signing.is_some().then_some(signs);
        let (notes, note_inbox) = mpsc::unbounded_channel();
        let (headers, header_inbox) = mpsc::unbounded_channel();
        let (events, inbox) = mpsc::unbounded_channel();
        let (lease_events, lease_inbox) = mpsc::unbounded_channel();
        let (stop, tasks) = (CancellationToken::new(), CancellationToken::new());
        let released = keep(connect.clone(), incarnation.clone(), tally, lease_events, stop.clone())?;
        let work = Work {
            connect: connect.clone(),
            incarnation,
            holding: holding.clone(),
            holder: holder.clone(),
            requests: request_inbox,
            enough: enough.clone(),
            commits: commit_inbox,
            notes: note_inbox,
            headers: header_inbox,
            lease: lease_inbox,
            events: events.clone(),
        };
        let cancelled = tasks.clone();
        if let Some(signing) = signing {
            let sign = sign(signing, sign_inbox, commits.clone());
            tokio::spawn(tasks.clone().run_until_cancelled_owned(sign));
        }
        tokio::spawn(tasks.clone().run_until_cancelled_owned(work.go()));
        let session = Self {
            holding,
            holder,
            events,
            requests,
            enough,
            commits,
            signs,
            notes,
            headers,
            released,
            stop,
            cancelled,
            _tasks: tasks.drop_guard(),
        };
        Ok((session, inbox))
    }

    /// Asks for messages. One request at a time.
    pub fn request(&self, request: Request) -> bool {
        self.requests.try_send(request).is_ok()
    }

    /// Has the request under way answered soon, whether there are messages or not.
    pub fn enough(&self) {
        self.enough.notify_one();
    }

    /// Hands something over to be committed.
    pub fn commit(&self, settlement: Settlement) {
        // The receiving end is gone only when the session has ended, and then nothing may be written.
        let _ = self.commits.send(settlement);
    }

    /// Hands over what says something of our own: that is signed first, where the pool signs.
    pub fn commit_own(&self, settlement: Settlement) {
        match &self.signs {
            Some(signs) if says_something(&settlement) => drop(signs.send(settlement)),
            _ => self.commit(settlement),
        }
    }

    /// Tells the broker which attempts have begun: all of them. [`SessionEvent::Noted`] answers.
    pub fn note(&self, tags: Vec<Tag>) {
        let _ = self.notes.send(tags);
    }

    /// Has the header of a chord read that is complete.
    pub fn join(&self, tag: Tag, complete: Complete) {
        let _ = self.headers.send(Header::Complete(tag, complete));
    }

    /// Has the header of a chord looked at that nobody counts.
    pub fn unlock(&self, tag: Tag, unlocking: Unlocking) {
        let _ = self.headers.send(Header::Uncounted(tag, Box::new(unlocking)));
    }

    /// What is parked of this worker's queues, once the broker is there.
    pub fn parking(&self) -> Option<Arc<dyn Parking>> {
        self.holder.get().map(|holder| holder.clone() as Arc<dyn Parking>)
    }

    /// Takes the parked messages of these tasks: they come as [`SessionEvent::Received`].
    pub fn unpark(&self, ids: Vec<String>) {
        let Some(parking) = self.parking() else { return };
        let (holding, events) = (self.holding.clone(), self.events.clone());
        let take = async move {
            match parking.unpark(&ids).await {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    holding.add(&messages);
                    let _ = events.send(SessionEvent::Received { messages, answer: false });
                }
                // They come at their time; those that were taken by a call that failed are adopted.
                Err(error) => tracing::debug!(error = %Chain(&error), "parked messages could not be taken"),
            }
        };
        tokio::spawn(self.cancelled.clone().run_until_cancelled_owned(take));
    }

    /// Asks for the starts of tasks that have a limit: the answers come as [`SessionEvent::Turns`].
    pub fn start(&self, starts: Vec<Start>) {
        let Some(holder) = self.holder.get().cloned() else { return };
        let (holding, events) = (self.holding.clone(), self.events.clone());
        let ask = async move {
            let mut backoff = Backoff::new(ASK_AGAIN);
            let turns = loop {
                match holder.start(&starts).await {
                    Ok(turns) => break turns,
                    // Whoever receives next learns of it too.
                    Err(BrokerError::LeaseLost) => return,
                    Err(error) => {
                        tracing::debug!(error = %Chain(&error), "tasks cannot ask for their starts; trying again");
                        backoff.pause().await;
                    }
                }
            };
            let turns: Vec<_> = starts.iter().map(|start| start.tag).zip(turns).collect();
            holding.remove(turns.iter().filter(|(_, turn)| *turn != Turn::Now).map(|(tag, _)| *tag));
            let _ = events.send(SessionEvent::Turns(turns));
        };
        tokio::spawn(self.cancelled.clone().run_until_cancelled_owned(ask));
    }

    /// Gives the lease up: what is still held goes back to its queues at once.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(RELEASE, self.released).await;
    }
}

/// The inside of a session.
struct Work {
    connect: Arc<dyn Connect>,
    incarnation: String,
    holding: Holding,
    holder: Arc<OnceLock<Arc<dyn Holder>>>,
    requests: mpsc::Receiver<Request>,
    enough: Arc<Notify>,
    commits: mpsc::UnboundedReceiver<Settlement>,
    notes: mpsc::UnboundedReceiver<Vec<Tag>>,
    headers: mpsc::UnboundedReceiver<Header>,
    lease: mpsc::UnboundedReceiver<LeaseEvent>,
    events: mpsc::UnboundedSender<SessionEvent>,
}

impl Work {
    async fn go(mut self) {
        loop {
            match self.lease.recv().await {
                Some(LeaseEvent::Registered) => break,
                Some(LeaseEvent::Failing(why)) => self.say(SessionEvent::Failing(why)),
                Some(LeaseEvent::Lost) => return self.say(SessionEvent::Lost),
                Some(LeaseEvent::Working) => {}
                Some(LeaseEvent::Wish(wish)) => self.say(SessionEvent::Wish(wish)),
                None => return,
            }
        }
        let (consumer, store) = self.connected().await;
        let _ = self.holder.set(consumer.clone());
        self.say(SessionEvent::Working);

        let (receipts, mut receipt_inbox) = mpsc::unbounded_channel();
        let (done, mut done_inbox) = mpsc::unbounded_channel();
        let receiving = receive(consumer.clone(), self.holding.clone(), self.enough, self.requests, receipts);
        let noting = note(consumer.clone(), self.notes, self.events.clone());
        let joining = read_headers(store.clone(), self.headers, self.events.clone());
        let committing = commit(Committer { consumer, store }, self.commits, done);
        let events = self.events;
        let forward = async {
            loop {
                let event = tokio::select! {
                    Some(receipt) = receipt_inbox.recv() => match receipt {
                        Receipt::Messages(messages) => SessionEvent::Received { messages, answer: true },
                        Receipt::Adopted(messages) => SessionEvent::Received { messages, answer: false },
                        Receipt::Failing(why) => SessionEvent::Failing(why),
                        Receipt::LeaseLost => SessionEvent::Lost,
                    },
                    Some(committed) = done_inbox.recv() => SessionEvent::Committed(committed),
                    Some(event) = self.lease.recv() => match event {
                        LeaseEvent::Registered | LeaseEvent::Working => SessionEvent::Working,
                        LeaseEvent::Failing(why) => SessionEvent::Failing(why),
                        LeaseEvent::Wish(wish) => SessionEvent::Wish(wish),
                        LeaseEvent::Lost => SessionEvent::Lost,
                    },
                    else => return,
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        };
        tokio::join!(receiving, committing, noting, joining, forward);
    }

    async fn connected(&self) -> (Arc<dyn Holder>, Option<Arc<dyn Store>>) {
        loop {
            match self.connect().await {
                Ok(connections) => return connections,
                Err(error) => self.say(SessionEvent::Failing(Chain(&error).to_string())),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn connect(&self) -> Result<(Arc<dyn Holder>, Option<Arc<dyn Store>>), BrokerError> {
        Ok((self.connect.consumer(&self.incarnation).await?, self.connect.store().await?))
    }

    fn say(&self, event: SessionEvent) {
        let _ = self.events.send(event);
    }
}

/// Reads the headers of chords, several at a time. Ends with the session: what was not read is read
/// by whoever gets the message next.
async fn read_headers(
    store: Option<Arc<dyn Store>>,
    mut headers: mpsc::UnboundedReceiver<Header>,
    events: mpsc::UnboundedSender<SessionEvent>,
) {
    let Some(store) = store else { return };
    let mut reading = JoinSet::new();
    loop {
        tokio::select! {
            next = headers.recv() => {
                let Some(header) = next else { return };
                let store = store.clone();
                reading.spawn(async move {
                    match header {
                        Header::Complete(tag, complete) => {
                            let joined = join(store.as_ref(), &complete.claim).await;
                            SessionEvent::Joined(tag, complete, joined)
                        }
                        Header::Uncounted(tag, unlocking) => {
                            let decision = look(store.as_ref(), &unlocking.unlock).await;
                            SessionEvent::Unlocked(tag, unlocking, decision)
                        }
                    }
                });
            }
            Some(Ok(event)) = reading.join_next() => {
                let _ = events.send(event);
            }
        }
    }
}
