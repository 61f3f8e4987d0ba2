//! What the user asked for, as the arithmetic takes it. Pure.

use std::time::Duration;

use petiole_api::WorkerPool;
use petiole_api::conditions::reasons;
use petiole_api::scaling::{self, PolicyType, ScalingMode, SelectPolicy};
use petiole_scale::scaling::{Fallback, Pause, Policy, Rules, Scaling, Select, Size, Target};

use super::autoscaler::Autoscaler;
use crate::refusal::Refusal;

/// How long a pool stays larger than it has to be, where it does not say: as in Kubernetes' autoscaler.
const DOWN_WINDOW: u32 = 300;

/// How a pool scales itself; nothing, where `replicas` says how many pods it has.
pub fn scaling(pool: &WorkerPool) -> Result<Option<Scaling>, Refusal> {
    of_mode(pool, ScalingMode::Native)
}

/// How an autoscaler of Kubernetes scales a pool; nothing, where none does.
pub fn autoscaler(pool: &WorkerPool) -> Result<Option<Autoscaler>, Refusal> {
    Ok(of_mode(pool, ScalingMode::HorizontalPodAutoscaler)?.map(Autoscaler))
}

/// By what the operator decides each second; nothing, where it does not.
pub(super) fn decided(pool: &WorkerPool) -> Result<Option<Scaling>, Refusal> {
    let activation = autoscaler(pool)?.map(|autoscaler| autoscaler.activation());
    Ok(scaling(pool)?.or(activation))
}

fn of_mode(pool: &WorkerPool, mode: ScalingMode) -> Result<Option<Scaling>, Refusal> {
    let Some(scaling) = pool.spec.scaling.as_ref().filter(|one| one.mode == mode) else {
        return Ok(None);
    };
    let refuse = |why: &str| Refusal::new(reasons::SCALING_REFUSED, why);
    let max = scaling
        .max_replicas
        .ok_or_else(|| refuse("write scaling.maxReplicas: the most pods that may run"))?;
    let target = match (scaling.messages_per_replica, scaling.drain_seconds) {
        (Some(each), None) => Target::Messages(each),
        (None, Some(within)) => Target::Drain(seconds(within)),
        _ => {
            return Err(refuse("write exactly one of scaling.messagesPerReplica and scaling.drainSeconds"));
        }
    };
    let behavior = scaling.behavior.clone().unwrap_or_default();
    Ok(Some(Scaling {
        min: scaling.min_replicas,
        max,
        concurrency: pool.spec.concurrency,
        target,
        up: rules(behavior.scale_up.as_ref(), 0),
        down: rules(behavior.scale_down.as_ref(), DOWN_WINDOW),
        cool_down: seconds(scaling.cool_down_seconds),
        pause: match scaling.pause {
            None => Pause::No,
            Some(scaling::Pause::In) => Pause::In,
            Some(scaling::Pause::Out) => Pause::Out,
            Some(scaling::Pause::Both) => Pause::Both,
        },
        fallback: scaling
            .fallback
            .map(|fallback| Fallback { replicas: fallback.replicas, after: seconds(fallback.after_seconds) }),
    }))
}

fn rules(rules: Option<&scaling::Rules>, window: u32) -> Rules {
    let rules = rules.cloned().unwrap_or_default();
    let policy = |policy: &scaling::Policy| Policy {
        size: match policy.r#type {
            PolicyType::Pods => Size::Pods(policy.value),
            PolicyType::Percent => Size::Percent(policy.value),
        },
        period: seconds(policy.period_seconds),
    };
    Rules {
        window: seconds(rules.stabilization_window_seconds.unwrap_or(window)),
        policies: rules.policies.iter().map(policy).collect(),
        select: match rules.select_policy {
            SelectPolicy::Max => Select::Max,
            SelectPolicy::Min => Select::Min,
            SelectPolicy::Disabled => Select::Disabled,
        },
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
