//! How many pods there should be, and why.

use std::fmt;

use jiff::Timestamp;

use crate::work::Seen;

/// How many pods there should be, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// So many there should be.
    pub replicas: u32,
    /// So many there were to be before.
    pub current: u32,
    /// What was known.
    pub seen: Seen,
    /// So many the work is worth; nothing, where nobody knows it.
    pub wanted: Option<u32>,
    /// Of these, what min and max allow.
    pub recommended: Option<u32>,
    /// What has decided.
    pub reason: Reason,
    /// The arithmetic from the work to the decision, with its numbers.
    pub formula: String,
}

/// What has decided: of all that held, the last. Those that Kubernetes' autoscaler knows have its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The work alone.
    DesiredWithinRange,
    /// The work is worth fewer pods than min.
    TooFewReplicas,
    /// The work is worth more pods than max.
    TooManyReplicas,
    /// The work is not worth more pods for long enough.
    ScaleUpStabilized,
    /// The work was worth more pods a short while ago.
    ScaleDownStabilized,
    /// More pods may come only later.
    ScaleUpLimit,
    /// More pods may go only later.
    ScaleDownLimit,
    /// There is nothing to do, but not for long enough.
    CoolingDown,
    /// It is paused.
    Paused,
    /// Nobody knows how much there is to do.
    SignalUnknown,
    /// Nobody has known it for too long.
    Fallback,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::DesiredWithinRange,
        Self::TooFewReplicas,
        Self::TooManyReplicas,
        Self::ScaleUpStabilized,
        Self::ScaleDownStabilized,
        Self::ScaleUpLimit,
        Self::ScaleDownLimit,
        Self::CoolingDown,
        Self::Paused,
        Self::SignalUnknown,
        Self::Fallback,
    ];

    /// In conditions, events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DesiredWithinRange => "DesiredWithinRange",
            Self::TooFewReplicas => "TooFewReplicas",
            Self::TooManyReplicas => "TooManyReplicas",
            Self::ScaleUpStabilized => "ScaleUpStabilized",
            Self::ScaleDownStabilized => "ScaleDownStabilized",
            Self::ScaleUpLimit => "ScaleUpLimit",
            Self::ScaleDownLimit => "ScaleDownLimit",
            Self::CoolingDown => "CoolingDown",
            Self::Paused => "Paused",
            Self::SignalUnknown => "SignalUnknown",
            Self::Fallback => "Fallback",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
