//! What the user asked for.

use std::time::Duration;

/// How a pool is scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// At least so many pods.
    pub min: u32,
    /// At most so many.
    pub max: u32,
    /// How many tasks a pod runs at the same time.
    pub concurrency: u32,
    /// What a pod is wanted for.
    pub target: Target,
    /// How it grows.
    pub up: Rules,
    /// How it shrinks.
    pub down: Rules,
    /// How long there must have been nothing to do before the last pod goes.
    pub cool_down: Duration,
    /// What stands still.
    pub pause: Pause,
    /// What is done when nobody knows how much there is to do.
    pub fallback: Option<Fallback>,
}

/// What a pod is wanted for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// One for each so many messages; at least 1.
    Messages(u32),
    /// So many that what there is to do is done within this time.
    Drain(Duration),
    /// One, for whatever there is to do: somebody else finds out how many more.
    Any,
}

/// How far and how soon the number of pods may change in one direction: `HPAScalingRules`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `stabilizationWindowSeconds`: of all recommendations in this time, the one counts that changes least.
    pub window: Duration,
    /// `policies`. Without any a step may be of any size.
    pub policies: Vec<Policy>,
    /// `selectPolicy`: which of them counts.
    pub select: Select,
}

/// `HPAScalingPolicy`: how many pods may come or go in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many.
    pub size: Size,
    /// In which time.
    pub period: Duration,
}

/// How many pods may come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// This many.
    Pods(u32),
    /// This many of each hundred that there were when the period began. From none at all, one.
    Percent(u32),
}

/// Which of several policies counts: `ScalingPolicySelect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Select {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// What stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// Nothing.
    #[default]
    No,
    /// No pod goes.
    In,
    /// No pod comes.
    Out,
    /// No pod comes or goes.
    Both,
}

/// What is done when nobody knows how much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// So many pods are wanted.
    pub replicas: u32,
    /// After so long without an answer. Until then pods stay as they are.
    pub after: Duration,
}

impl Scaling {
    /// The nearest number that `min` and `max` allow. Where they contradict each other, `max` counts: more pods than
    /// that cost what nobody agreed to.
    pub fn within_limits(&self, replicas: u32) -> u32 {
        replicas.max(self.min).min(self.max)
    }
}
