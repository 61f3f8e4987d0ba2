//! What each daemon needs, and nothing of what it is for.
//!
//! - [`log`]: lines for people or JSON for collectors; an error's chain is printed once, here.
//! - [`shutdown`]: the first signal drains, the next ones are less patient.
//! - [`ready`]: who is still missing.
//! - [`metrics`]: the only module that knows the `prometheus` crate.
//! - [`admin`]: `/livez`, `/readyz`, `/metrics`.

pub mod admin;
pub mod log;
pub mod metrics;
pub mod ready;
pub mod shutdown;
