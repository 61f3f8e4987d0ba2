//! Metrics: the only module that knows the `prometheus` crate.

use std::fmt;

use prometheus::core::Collector;
use prometheus::{Encoder, TextEncoder};
pub use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{HistogramOpts, Opts};

/// Upper bounds, in seconds, that fit a task's run time and its wait alike: from a no-op to an hour.
pub const SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];

/// A metric cannot be registered: its name is taken, or not a name. A mistake in our own code.
#[derive(Debug, thiserror::Error)]
#[error("failed to register the metric {name}")]
pub struct RegisterError {
    name: &'static str,
    #[source]
    source: prometheus::Error,
}

/// The metrics of this process.
#[derive(Clone, Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// A counter with these labels.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&str],
    ) -> Result<IntCounterVec, RegisterError> {
        self.add(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge with these labels.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, RegisterError> {
        self.add(name, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A histogram of seconds with these labels, over [`SECONDS`].
    pub fn seconds(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&str],
    ) -> Result<HistogramVec, RegisterError> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(name, HistogramVec::new(options, labels))
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> Result<Vec<u8>, RenderError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut text).map_err(RenderError)?;
        Ok(text)
    }

    fn add<C: Collector + Clone + 'static>(
        &self,
        name: &'static str,
        made: Result<C, prometheus::Error>,
    ) -> Result<C, RegisterError> {
        made.and_then(|metric| self.0.register(Box::new(metric.clone())).map(|()| metric))
            .map_err(|source| RegisterError { name, source })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Registry")
    }
}

/// The metrics cannot be written as text.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the metrics as text")]
pub struct RenderError(#[source] prometheus::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_event_shows_in_the_rendered_text() {
        let registry = Registry::default();
        let tasks = registry.counter("petiole_test_total", "Tests.", &["outcome"]).unwrap();
        tasks.with_label_values(&["good"]).inc();
        let text = String::from_utf8(registry.render().unwrap()).unwrap();
        assert!(text.contains("petiole_test_total{outcome=\"good\"} 1"), "{text}");
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let registry = Registry::default();
        registry.gauge("petiole_twice", "Once.", &[]).unwrap();
        let error = registry.gauge("petiole_twice", "Twice.", &[]).unwrap_err();
        assert_eq!(error.to_string(), "failed to register the metric petiole_twice");
    }
}
