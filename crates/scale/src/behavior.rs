//! How far and how soon the number of pods may change: the stabilisation windows and the policies of Kubernetes'
//! autoscaler (`behavior` of `autoscaling/v2`), with the same arithmetic.

use jiff::Timestamp;

use crate::history::History;
use crate::scaling::{Policy, Rules, Scaling, Select, Size};

/// Of the recommendations in each direction's window, the one that changes least. `recommended` is the newest.
pub fn stabilized(
    scaling: &Scaling,
    history: &History,
    current: u32,
    recommended: u32,
    now: Timestamp,
) -> u32 {
    let up = history.lowest(scaling.up.window, now).unwrap_or(recommended).min(recommended);
    let down = history.highest(scaling.down.window, now).unwrap_or(recommended).max(recommended);
    current.clamp(up, down)
}

/// The most pods that the policies allow now.
pub fn highest_step(rules: &Rules, history: &History, current: u32, now: Timestamp) -> u32 {
    let allowed = rules.policies.iter().map(|policy| {
        let start = at_start(policy, history, current, now);
        match policy.size {
            Size::Pods(pods) => start.saturating_add(pods),
            // From none at all no percentage leads anywhere.
            Size::Percent(percent) => {
                let grown = u64::from(start) * (100 + u64::from(percent));
                u32::try_from(grown.div_ceil(100)).unwrap_or(u32::MAX).max(1)
            }
        }
    });
    let limit = match rules.select {
        Select::Max => allowed.max(),
        Select::Min => allowed.min(),
        Select::Disabled => Some(current),
    };
    limit.unwrap_or(u32::MAX).max(current)
}

/// The fewest pods that the policies allow now.
pub fn lowest_step(rules: &Rules, history: &History, current: u32, now: Timestamp) -> u32 {
    let allowed = rules.policies.iter().map(|policy| {
        let start = at_start(policy, history, current, now);
        match policy.size {
            Size::Pods(pods) => start.saturating_sub(pods),
            // Rounded down, as Kubernetes does: the last pod can go.
            Size::Percent(percent) => {
                let left = u64::from(start) * 100_u64.saturating_sub(u64::from(percent)) / 100;
                u32::try_from(left).unwrap_or(u32::MAX)
            }
        }
    });
    let limit = match rules.select {
        Select::Max => allowed.min(),
        Select::Min => allowed.max(),
        Select::Disabled => Some(current),
    };
    limit.unwrap_or(0).min(current)
}

/// How many pods there were when the policy's period began.
fn at_start(policy: &Policy, history: &History, current: u32, now: Timestamp) -> u32 {
    let (came, went) = history.moved(policy.period, now);
    current.saturating_add(went).saturating_sub(came)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rules(sizes: &[Size], select: Select) -> Rules {
        let policy = |size: &Size| Policy { size: *size, period: Duration::from_mins(1) };
        Rules { window: Duration::ZERO, policies: sizes.iter().map(policy).collect(), select }
    }

    #[test]
    fn steps_are_counted_from_where_the_period_began() {
        let mut history = History::start(10, None, at(0));
        history.changed(10, 13, at(10));
        let four = rules(&[Size::Pods(4)], Select::Max);
        assert_eq!(highest_step(&four, &history, 13, at(20)), 14);
        assert_eq!(highest_step(&four, &history, 13, at(70)), 17);
        history.changed(13, 11, at(80));
        assert_eq!(lowest_step(&four, &history, 11, at(90)), 9);
    }

    #[test]
    fn the_largest_or_the_smallest_policy_counts() {
        let history = History::start(10, None, at(0));
        let sizes = [Size::Pods(4), Size::Percent(50)];
        let (max, min) = (rules(&sizes, Select::Max), rules(&sizes, Select::Min));
        assert_eq!(
            (highest_step(&max, &history, 10, at(0)), highest_step(&min, &history, 10, at(0))),
            (15, 14)
        );
        assert_eq!((lowest_step(&max, &history, 10, at(0)), lowest_step(&min, &history, 10, at(0))), (5, 6));
    }

    #[test]
    fn without_policies_a_step_may_be_of_any_size_and_disabled_none() {
        let history = History::start(10, None, at(0));
        let (any, none) = (rules(&[], Select::Max), rules(&[], Select::Disabled));
        assert_eq!(
            (highest_step(&any, &history, 10, at(0)), lowest_step(&any, &history, 10, at(0))),
            (u32::MAX, 0)
        );
        assert_eq!(
            (highest_step(&none, &history, 10, at(0)), lowest_step(&none, &history, 10, at(0))),
            (10, 10)
        );
    }

    #[test]
    fn a_percentage_of_nothing_is_one_pod() {
        let history = History::start(0, None, at(0));
        assert_eq!(highest_step(&rules(&[Size::Percent(50)], Select::Max), &history, 0, at(0)), 1);
    }
}
