//! Remote control: what `celery inspect`, `celery control` and Flower ask of workers.
//!
//! ```text
//!   envelope on celery.pidbox ──Request::read──> who is asked, what, by when ──Command::read──> typed command
//!   answer ──ReplyTo::envelope──> envelope for the queues that are bound to reply.celery.pidbox by the asker's key
//! ```
//!
//! Whoever is not asked stays silent. A command that cannot be carried out is answered as Celery answers it: with the
//! `repr` of the exception that its worker raises. Where our check is stricter than Python's, the answer has the same form.

mod answer;
mod arguments;
mod broadcast;
mod command;
mod inspected;
mod rate;
mod request;
mod select;
mod settings;
mod signal;
mod stamps;
mod stats;
mod task_info;
mod worker_queue;

pub use answer::Answer;
pub use broadcast::{Broadcast, Reply};
pub use command::{AddConsumer, Command, MAX_ID_LENGTH, MAX_IDS};
pub use rate::{InvalidRate, RateLimit};
pub use request::{Refused, ReplyTo, Request};
pub use select::{NoPattern, Pattern};
pub use settings::{Report, Settings, masked_url};
pub use signal::Signal;
pub use stamps::StampedHeaders;
pub(crate) use stamps::stamps_of;
pub use stats::{Autoscaler, Broker, Pool, ResourceUsage, Stats, Writes};
pub use task_info::{Known, Scheduled, TaskInfo, query_task, registered};
pub use worker_queue::ActiveQueue;
