//! How many pods a pool should have, and why.
//!
//! ```text
//!   queues ──share──> work ──target──> wanted ──limits──> recommended ──windows, steps, pause──> decision
//!   workers ──runtime──┘                                       └──> history ──┘
//! ```
//!
//! - [`scaling`]: what the user asked for, in the vocabulary of Kubernetes' `HorizontalPodAutoscaler`.
//! - [`work`]: what there is to do. [`share`]: what of it is one pool's. [`runtime`]: how long its tasks take.
//! - [`target`]: how many pods that is worth.
//! - [`history`]: what was recommended and what was changed. [`behavior`]: what follows for how far and how soon.
//! - [`decide`]: all of it in order. [`decision`]: the answer, with the numbers that led to it.
//!
//! Everything here is pure: no clock, no client, no runtime. Whoever calls brings `now`.

pub mod behavior;
pub mod decide;
pub mod decision;
pub mod history;
pub mod runtime;
pub mod scaling;
pub mod share;
pub mod target;
pub mod work;

pub use decide::decide;
pub use decision::{Decision, Reason};
pub use history::History;
pub use scaling::Scaling;
pub use work::{Seen, Work};
