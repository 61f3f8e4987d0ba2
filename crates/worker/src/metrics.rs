//! What a worker counts. The names are public: dashboards and alerts are written against them.

use petiole_process::metrics::{HistogramVec, IntCounterVec, IntGaugeVec, RegisterError, Registry};

/// Attempts that have ended, by task and outcome ([`crate::outcome::Outcome::name`]).
pub const TASKS: &str = "petiole_worker_tasks_total";
/// Seconds that attempts ran, by task.
pub const RUNTIME: &str = "petiole_worker_task_runtime_seconds";
/// Messages that were not run, by reason ([`crate::admit::Discarded::reason`]).
pub const DISCARDED: &str = "petiole_worker_discarded_total";
/// Messages held by this worker: waiting, running, or being committed.
pub const HELD: &str = "petiole_worker_held";
/// Tasks that are running.
pub const RUNNING: &str = "petiole_worker_running";
/// Settlements that were not written, because the message or the lease was lost.
pub const LOST: &str = "petiole_worker_lost_total";
/// Requests of remote control that were passed over, by reason (`petiole_protocol::control::Refused::reason`).
pub const CONTROL_REFUSED: &str = "petiole_worker_control_refused_total";
/// Leases that were lost.
pub const LEASES_LOST: &str = "petiole_worker_leases_lost_total";

/// A task whose name the pool does not have, in the label of [`TASKS`]: names come from clients, labels must not.
pub const UNLISTED: &str = "(unlisted)";

/// 1 while the broker answers. Readiness does not follow it once the worker has worked.
pub const BROKER_UP: &str = "petiole_worker_broker_up";

/// The metrics of a worker.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// [`TASKS`].
    pub tasks: IntCounterVec,
    /// [`RUNTIME`].
    pub runtime: HistogramVec,
    /// [`DISCARDED`].
    pub discarded: IntCounterVec,
    /// [`HELD`].
    pub held: IntGaugeVec,
    /// [`RUNNING`].
    pub running: IntGaugeVec,
    /// [`LOST`].
    pub lost: IntCounterVec,
    /// [`LEASES_LOST`].
    pub leases_lost: IntCounterVec,
    /// [`CONTROL_REFUSED`].
    pub control_refused: IntCounterVec,
    /// [`BROKER_UP`].
    pub broker_up: IntGaugeVec,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        Ok(Self {
            tasks: registry.counter(TASKS, "Attempts that have ended.", &["task", "outcome"])?,
            runtime: registry.seconds(RUNTIME, "Seconds that attempts ran.", &["task"])?,
            discarded: registry.counter(DISCARDED, "Messages that were not run.", &["reason"])?,
            held: registry.gauge(HELD, "Messages held by this worker.", &[])?,
            running: registry.gauge(RUNNING, "Tasks that are running.", &[])?,
            lost: registry.counter(LOST, "Settlements that were not written.", &[])?,
            leases_lost: registry.counter(LEASES_LOST, "Leases that were lost.", &[])?,
            control_refused: registry.counter(
                CONTROL_REFUSED,
                "Requests of remote control that were passed over.",
                &["reason"],
            )?,
            broker_up: registry.gauge(BROKER_UP, "Whether the broker answers.", &[])?,
        })
    }
}
