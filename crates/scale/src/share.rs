//! What of a queue's work is one pool's, where several take from it.

use crate::work::Work;

/// A pool's part of what a queue holds, by how much it can run of all that can be run: its greatest number of pods times
/// their concurrency. Rounded up, so that the parts together are never less than the whole.
pub fn share(work: Work, mine: u64, all: u64) -> Work {
    let part = |count: u64| {
        if mine >= all {
            return count;
        }
        let part = (u128::from(count) * u128::from(mine)).div_ceil(u128::from(all));
        u64::try_from(part).unwrap_or(count)
    };
    let Work { ready, reserved, unacked, due } = work;
    Work { ready: part(ready), reserved: part(reserved), unacked: part(unacked), due: part(due) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pools_share_a_backlog_by_what_they_can_run_and_leave_nothing_out() {
        let work = Work { ready: 100, reserved: 1, unacked: 5, due: 0 };
        let (large, small) = (share(work, 30, 40), share(work, 10, 40));
        assert_eq!((large.ready, small.ready), (75, 25));
        assert!(large.total() + small.total() >= work.total());
    }

    #[test]
    fn a_pool_alone_has_all_of_it() {
        let work = Work { ready: u64::MAX, reserved: 2, unacked: 1, due: 3 };
        assert_eq!(share(work, 5, 5), work);
        assert_eq!(share(work, 0, 0), work);
    }
}
