//! What was seen of a queue last.

use jiff::Timestamp;
use petiole_api::conditions::reasons;
use petiole_broker::{BrokerError, Depth, Hazard};
use petiole_process::log::Chain;
use petiole_results::StoreError;
use petiole_results::redis::EndpointError;

/// What was seen of a queue last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Its depth and when it was read, or why it could not be; nothing, before it was asked.
    pub broker: Option<Result<(Depth, Timestamp), Problem>>,
    /// When its depth was read last, also while it cannot be now.
    pub counted: Option<Timestamp>,
    /// Whether its result store answers; nothing, before it was asked or where there is none.
    pub results: Option<Result<(), Problem>>,
    /// Settings of its broker that put work at risk; nothing, before it was asked.
    pub hazards: Option<Vec<Hazard>>,
}

/// Why a server does not do what it is asked. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One of [`reasons`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Sample {
    /// Whether someone who only knows `other` has to be told: what is reachable or at risk has changed, or whether there
    /// is work; not how much there is. Another message for the same reason is none, since it may hold what changes each
    /// time.
    pub fn differs_from(&self, other: &Self) -> bool {
        fn state<T>(answer: Option<&Result<T, Problem>>) -> Option<Result<(), &'static str>> {
            answer.map(|answer| answer.as_ref().map(|_| ()).map_err(|problem| problem.reason))
        }
        state(self.broker.as_ref()) != state(other.broker.as_ref())
            || state(self.results.as_ref()) != state(other.results.as_ref())
            || self.hazards != other.hazards
            || self.depth().map(is_busy) != other.depth().map(is_busy)
    }

    /// When its depth was read, when that could be.
    pub fn read_at(&self) -> Option<Timestamp> {
        self.broker.as_ref()?.as_ref().ok().map(|(_, at)| *at)
    }

    /// Its depth, when that could be read.
    pub fn depth(&self) -> Option<&Depth> {
        self.broker.as_ref()?.as_ref().ok().map(|(depth, _)| depth)
    }
}

/// Whether there is work.
fn is_busy(Depth { ready, reserved, unacked, scheduled, due: _, dead: _, consumers: _ }: &Depth) -> bool {
    ready + reserved + scheduled + unacked.unwrap_or_default() > 0
}

impl From<&BrokerError> for Problem {
    fn from(error: &BrokerError) -> Self {
        let reason = match error {
            BrokerError::Endpoint(_) => reasons::ADDRESS_REFUSED,
            BrokerError::Refused { .. } => reasons::REFUSED,
            BrokerError::Unreachable { .. } | BrokerError::LeaseLost | BrokerError::LeaseEnded => {
                reasons::UNREACHABLE
            }
        };
        Self { reason, message: Chain(error).to_string() }
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let reason = match error {
            StoreError::Refused { .. } => reasons::REFUSED,
            StoreError::Unreachable { .. } => reasons::UNREACHABLE,
        };
        Self { reason, message: Chain(error).to_string() }
    }
}

impl From<&EndpointError> for Problem {
    fn from(error: &EndpointError) -> Self {
        Self { reason: reasons::ADDRESS_REFUSED, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(answer: Result<u64, &str>) -> Sample {
        let answer = answer
            .map(|ready| (Depth { ready, ..Depth::default() }, Timestamp::UNIX_EPOCH))
            .map_err(|message| Problem { reason: reasons::UNREACHABLE, message: message.to_owned() });
        Sample { broker: Some(answer), ..Sample::default() }
    }

    #[test]
    fn only_a_change_of_state_has_to_be_told() {
        assert!(!broker(Ok(1)).differs_from(&broker(Ok(2))));
        assert!(!broker(Err("a")).differs_from(&broker(Err("b"))));
        assert!(broker(Ok(1)).differs_from(&broker(Err("a"))));
        assert!(broker(Ok(1)).differs_from(&Sample::default()));
    }

    #[test]
    fn that_work_comes_or_has_gone_has_to_be_told() {
        assert!(broker(Ok(0)).differs_from(&broker(Ok(1))));
        assert!(broker(Ok(1)).differs_from(&broker(Ok(0))));
        assert!(!broker(Ok(0)).differs_from(&broker(Ok(0))));
        let with = |reserved, scheduled| {
            let depth = Depth { reserved, scheduled, ..Depth::default() };
            Sample { broker: Some(Ok((depth, Timestamp::UNIX_EPOCH))), ..Sample::default() }
        };
        assert!(!with(1, 0).differs_from(&broker(Ok(1))), "what waited is held");
        assert!(with(0, 1).differs_from(&with(0, 0)));
        assert!(!with(1, 2).differs_from(&with(3, 0)));
    }
}
