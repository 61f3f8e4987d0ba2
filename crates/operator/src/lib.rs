//! The operator: `TaskQueue`s and `WorkerPool`s become what they ask for.
//!
//! ```text
//!                  observe ──> validate ──> build ──> apply ──> status
//!   queue/         Secrets                              └──> sampler ──> brokers, result stores
//!   pool/          stores                               └──> Deployment, ConfigMap, ServiceAccount, budget
//!                  └─ async, effects ─┘ └── pure ──┘ └── async, effects ──┘
//! ```
//!
//! - [`queue`], [`pool`]: the two controllers, in the same five steps. They do not know each other: they meet in the
//!   [`stores`] and in the [`sampler`]. Nothing is judged before all is [`synced`].
//! - [`operator`] puts it all together, [`scope`] what belongs to one namespace: [`watches`] fill the stores and wake
//!   the controllers, which [`drive`] runs. [`flags`] is the command line.
//! - [`leader`]: of several replicas one writes, and [`cluster`] is where everything is written. [`pace`] and
//!   [`backoff`]: how often. [`secrets`]: what is read there by name.
//! - [`external`]: what autoscalers of Kubernetes are told.
//! - [`ends`]: a pod that has ended is told of to its broker.
//! - [`refusal`], [`news`], [`invalid`]: what users hear. [`metrics`]: what is counted.

pub mod backoff;
pub mod cluster;
pub mod drive;
pub mod ends;
pub mod external;
#[cfg(test)]
mod fixtures;
pub mod flags;
pub mod invalid;
pub mod leader;
pub mod metrics;
pub mod news;
pub mod operator;
pub mod pace;
pub mod pool;
pub mod queue;
pub mod refusal;
pub mod sampler;
pub mod scope;
pub mod secrets;
pub mod stores;
pub mod synced;
pub mod watches;
