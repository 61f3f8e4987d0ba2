//! `external.metrics.k8s.io`: an autoscaler of Kubernetes is told how much there is to do.
//!
//! ```text
//!   autoscaler, kubectl ──> API server ──TLS──> server ──> caller ──> access ──> route ──> series ──> answer
//!                                                 ^        who asks   may it               stores, sampler
//!                                   identity ─────┘
//!                                   Secret, ConfigMap, APIService
//! ```
//!
//! Every replica answers, from its own samples. What is not known is an error, and never a number: an autoscaler that hears
//! an error leaves the pods as they are.
//!
//! - [`route`]: what is asked for. [`selector`]: which of it. [`series`]: what is known. [`documents`]: what there is to ask
//!   for. [`answer`]: what is said.
//! - [`caller`]: who asks, by the word of the API server. [`access`]: whether it may.
//! - [`certificate`]: what this server shows of itself, and when that is replaced. [`identity`] keeps it. [`api`]: the calls.
//! - [`server`] serves it.

pub mod access;
pub mod answer;
pub mod api;
pub mod caller;
pub mod certificate;
pub mod documents;
pub mod identity;
pub mod route;
pub mod selector;
pub mod series;
pub mod server;

#[cfg(test)]
mod tests;
