//! `petiole dead-letter`: what could not be run, listed, put back or dropped.
//!
//! - [`place`]: which queue on which broker. [`print`]: tables and JSON.

pub mod place;
pub mod print;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use clap::{Args, Subcommand};
use petiole_broker::BrokerError;
use petiole_broker::dead_letter::{DeadLetter, DeadLetters, Fate, MOST_LETTERS, take_all};
use petiole_broker::redis::{RedisDeadLetters, Timeouts};

use self::place::{Place, PlaceError, Where};
use self::print::{Done, Format, Listed};

/// Flags of `petiole dead-letter`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the messages, the oldest first
    List(List),
    /// Put messages back into the queue that they came from, behind the others, with no deliveries counted
    Retry(Choice),
    /// Throw messages away
    Drop(Choice),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Where,
    /// Show only messages of this task
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Show at most so many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Args)]
struct Choice {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Which messages are meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The message of this task id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// All messages of this task
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// All messages of the queue
    #[arg(long)]
    all: bool,
}

/// Why it was not done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// See its source.
    #[error(transparent)]
    Place(PlaceError),
    /// The broker did not do it.
    #[error("failed to reach the dead-letter queue {queue}")]
    Broker {
        /// Its name.
        queue: String,
        /// Why.
        #[source]
        source: BrokerError,
    },
    /// Messages that were named are not there.
    #[error("the dead-letter queue {queue} has no message with the id {}", ids.join(", "))]
    NotThere {
        /// Its name.
        queue: String,
        /// Their ids.
        ids: Vec<String>,
    },
    /// Messages do not say where they came from.
    #[error(
        "the dead-letter queue {queue} keeps {count} of them, which do not say where they came from: Petiole did not put \
         them there. Put them back by a client of the broker, or drop them"
    )]
    Stuck {
        /// Its name.
        queue: String,
        /// How many.
        count: usize,
    },
    /// Nothing could be printed.
    #[error("failed to print")]
    Print(#[source] std::io::Error),
}

impl Flags {
    /// Does what was asked for.
    pub async fn run(self) -> Result<(), DeadLetterError> {
        match self.command {
            Command::List(list) => list.run().await,
            Command::Retry(choice) => choice.run(Fate::PutBack).await,
            Command::Drop(choice) => choice.run(Fate::Dropped).await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), DeadLetterError> {
        let Self { place, task, limit, output } = self;
        let place = place.find().map_err(DeadLetterError::Place)?;
        let wanted = |letter: &DeadLetter| {
            place.is_of(letter) && (task.is_none() || letter.task.as_deref() == task.as_deref())
        };
        let listed = list(&open(&place), &place, &wanted, limit).await.map_err(place.failed())?;
        print::listed(&listed, output).map_err(DeadLetterError::Print)
    }
}

impl Choice {
    async fn run(self, fate: Fate) -> Result<(), DeadLetterError> {
        let Self { place, which, output } = self;
        let place = place.find().map_err(DeadLetterError::Place)?;
        let found = Mutex::new(BTreeSet::new());
        let wanted = |letter: &DeadLetter| {
            let wanted = place.is_of(letter) && which.has(letter);
            if let Some(id) = letter.id.as_ref().filter(|_| wanted) {
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
            }
            wanted
        };
        let taken =
            take_all(&open(&place), &place.dead_letter, &wanted, fate).await.map_err(place.failed())?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        print::done(&Done::of(fate, taken.taken), output).map_err(DeadLetterError::Print)?;
        let missing: Vec<_> = which.id.into_iter().filter(|id| !found.contains(id)).collect();
        let queue = place.dead_letter;
        match (taken.stuck, missing) {
            (0, missing) if missing.is_empty() => Ok(()),
            (0, ids) => Err(DeadLetterError::NotThere { queue, ids }),
            (count, _) => Err(DeadLetterError::Stuck { queue, count }),
        }
    }
}

impl Which {
    fn has(&self, letter: &DeadLetter) -> bool {
        let Self { id: ids, task, all } = self;
        *all || letter.id.as_ref().is_some_and(|id| ids.contains(id))
            || task.as_ref().is_some_and(|task| letter.task.as_ref() == Some(task))
    }
}

fn open(place: &Place) -> RedisDeadLetters {
    RedisDeadLetters::new(place.broker.clone(), Timeouts::default())
}

/// The oldest letters that are wanted. Looks no further than it has to.
async fn list(
    dead: &dyn DeadLetters,
    place: &Place,
    wanted: &(dyn Fn(&DeadLetter) -> bool + Sync),
    limit: usize,
) -> Result<Listed, BrokerError> {
    let (mut letters, mut seen) = (Vec::new(), 0);
    loop {
        let page = dead.page(&place.dead_letter, seen, MOST_LETTERS).await?;
        seen += page.letters.len();
        let ended = page.letters.is_empty() || seen >= page.total;
        letters.extend(page.letters.into_iter().filter(wanted));
        if ended || letters.len() > limit {
            let more = letters.len() > limit;
            letters.truncate(limit);
            return Ok(Listed { queue: place.dead_letter.clone(), total: page.total, more, letters });
        }
    }
}

impl Place {
    fn failed(&self) -> impl Fn(BrokerError) -> DeadLetterError {
        let queue = self.dead_letter.clone();
        move |source| DeadLetterError::Broker { queue: queue.clone(), source }
    }
}
