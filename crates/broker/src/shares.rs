//! How many messages to take from which queue, when each has its share. Pure.
//!
//! Stride scheduling: a queue's pass grows by 1/weight with each message that is taken from it, and the next message is
//! due to the queue with the smallest. A queue that had less than it was due is empty; it does not save up for
//! later, and has the smallest pass of the others when it has work again.

/// The most messages that a queue with work may be short of its share, of however many that a worker takes: what one
/// call takes in place of queues that turn out to be empty, twice.
pub const LAG: usize = 512;

/// What to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The queues by their index, in the order in which they fill up what others leave.
    pub(crate) order: Vec<usize>,
    /// How many each of them gives at first; without any, the order alone decides.
    pub(crate) quotas: Option<Vec<usize>>,
}

/// How far each queue is.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// By the queue's index.
    passes: Vec<f64>,
}

impl Shares {
    /// Divides `want` among these queues: index, weight.
    pub(crate) fn plan(&mut self, queues: &[(usize, u32)], want: usize) -> Plan {
        let known = queues.iter().map(|(index, _)| index + 1).max().unwrap_or_default();
        if self.passes.len() < known {
            self.passes.resize(known, 0.0);
        }
        let mut due: Vec<_> = queues.iter().map(|queue| (*queue, self.passes[queue.0], 0)).collect();
        due.sort_by(|(one, a, _), (other, b, _)| a.total_cmp(b).then(one.0.cmp(&other.0)));
        for _ in 0..want {
            // Of several smallest the first.
            let Some(next) =
                due.iter_mut().reduce(|least, other| if other.1 < least.1 { other } else { least })
            else {
                break;
            };
            next.1 += stride(next.0.1);
            next.2 += 1;
        }
        Plan {
            order: due.iter().map(|((index, _), _, _)| *index).collect(),
            quotas: Some(due.iter().map(|(_, _, quota)| *quota).collect()),
        }
    }

    /// So many were taken, in the order of the plan.
    pub(crate) fn took(&mut self, plan: &Plan, counts: &[usize], weights: &[u32]) {
        let Some(quotas) = &plan.quotas else { return };
        let mut empty = Vec::new();
        let mut least = f64::INFINITY;
        for ((index, quota), count) in plan.order.iter().zip(quotas).zip(counts) {
            let (Some(pass), Some(weight)) = (self.passes.get_mut(*index), weights.get(*index)) else {
                continue;
            };
            *pass += stride(*weight) * f64::from(u32::try_from(*count).unwrap_or(u32::MAX));
            if count < quota {
                empty.push(*index);
            } else {
                least = least.min(*pass);
            }
        }
        if least.is_infinite() {
            // Nobody has anything: all begin anew.
            self.passes.fill(0.0);
            return;
        }
        for index in empty {
            self.passes[index] = self.passes[index].max(least);
        }
        // Small numbers stay exact. Who was left out of the plan does not save up either.
        for pass in &mut self.passes {
            *pass = (*pass - least).max(0.0);
        }
    }
}

fn stride(weight: u32) -> f64 {
    1.0 / f64::from(weight.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes as the broker does: each queue its quota, then in order whatever is left. Says how many from each.
    fn take(shares: &mut Shares, weights: &[u32], stock: &mut [usize], want: usize) -> Vec<usize> {
        let queues: Vec<_> = weights.iter().copied().enumerate().collect();
        let plan = shares.plan(&queues, want);
        let quotas = plan.quotas.clone().unwrap();
        assert_eq!(quotas.iter().sum::<usize>(), want);
        let (mut counts, mut left) = (vec![0; plan.order.len()], want);
        for round in 0..2 {
            for (at, index) in plan.order.iter().enumerate() {
                let most = if round == 0 { quotas[at] } else { left };
                let got = most.min(left).min(stock[*index]);
                stock[*index] -= got;
                counts[at] += got;
                left -= got;
            }
        }
        shares.took(&plan, &counts, weights);
        let mut taken = vec![0; weights.len()];
        for (index, count) in plan.order.iter().zip(counts) {
            taken[*index] = count;
        }
        taken
    }

    #[test]
    fn shares_hold_one_by_one_and_in_batches() {
        let mut shares = Shares::default();
        let mut stock = [1000; 2];
        let ones: Vec<_> = (0..8).map(|_| take(&mut shares, &[3, 1], &mut stock, 1)[1]).collect();
        assert_eq!(ones.iter().sum::<usize>(), 2);
        assert!(ones[..4].contains(&1) && ones[4..].contains(&1), "smoothly: {ones:?}");
        assert_eq!(take(&mut shares, &[3, 1], &mut stock, 128), [96, 32]);
    }

    #[test]
    fn what_an_empty_queue_leaves_is_filled_up_and_not_saved_up() {
        let mut shares = Shares::default();
        assert_eq!(take(&mut shares, &[1, 1], &mut [1000, 0], 100), [100, 0]);
        assert_eq!(take(&mut shares, &[1, 1], &mut [1000, 1000], 100), [50, 50]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the others have, and however it comes.
        #[test]
        fn a_queue_with_work_is_never_far_from_its_share(
            weights in prop::collection::vec(1_u32..=100, 1..6),
            batches in prop::collection::vec((1_usize..=256, prop::collection::vec(0_usize..300, 5)), 1..60),
        ) {
            let mut shares = Shares::default();
            let mut stock = vec![0; weights.len()];
            let (mut taken, mut all) = (0, 0);
            for (want, arrived) in batches {
                for (stock, arrived) in stock.iter_mut().zip(arrived) {
                    *stock += arrived;
                }
                stock[0] = 100_000;
                let counts = take(&mut shares, &weights, &mut stock, want);
                prop_assert_eq!(counts.iter().sum::<usize>(), want, "there is always enough");
                taken += counts[0];
                all += want;
                let total: u32 = weights.iter().sum();
                let share = all * weights[0] as usize / total as usize;
                prop_assert!(taken + LAG >= share, "{} of {}, not {}", taken, all, share);
            }
        }
    }
}
