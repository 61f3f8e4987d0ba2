//! The custom resources: types, schema, rules, conditions, names.
//!
//! ```text
//!   WorkerPool ──queues──> TaskQueue ──broker, results──> Secret keys
//! ```
//!
//! - [`task_queue`] and [`worker_pool`]: the resources. [`accept`], [`celery`], [`connection`], [`duration`], [`rate`],
//!   [`retry`], [`scaling`], [`signing`], [`task`], [`template`]: what they are made of.
//! - [`conditions`] and [`names`]: every word that leaves the operator.
//! - [`crds`]: the resources' definitions, as `crds/` holds them. [`examples`]: objects that show how they are used.
//! - [`check`] (feature `check`): what the API server would say of an object, without one.
//!
//! Types only: no client, no runtime. A rule that the schema can state stands in the schema, with a message that
//! says what to write; what needs more than one object is the operator's to validate.

#![allow(unreachable_pub, reason = "KubeSchema writes a copy of each struct into a function")]

pub mod accept;
pub mod celery;
#[cfg(feature = "check")]
pub mod check;
pub mod conditions;
pub mod connection;
pub mod crds;
pub mod duration;
pub mod examples;
pub mod names;
pub mod rate;
pub mod retry;
pub mod scaling;
pub mod signing;
pub mod task;
pub mod task_queue;
pub mod template;
pub mod worker_pool;
mod written;

pub use crds::crds;
pub use task_queue::{TaskQueue, TaskQueueSpec, TaskQueueStatus};
pub use worker_pool::{WorkerPool, WorkerPoolSpec, WorkerPoolStatus};
