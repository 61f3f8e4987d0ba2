//! How much later than its times a schedule is carried out, so that many schedules of one time do not fall due at once.

use std::time::Duration;

/// A delay below or at `most`, in milliseconds, by the uid of the object: the same for all of its times, whoever computes
/// it. So the order of times stays, however large it is, and a daily task is at the same minute each day.
pub fn delay(uid: &str, most: Duration) -> Duration {
    let choices = most.as_millis().saturating_add(1).min(u128::from(u64::MAX));
    // The product's upper half: each choice gets an equal share of all hashes.
    let chosen = (u128::from(hash(uid.as_bytes())) * choices) >> 64;
    Duration::from_millis(u64::try_from(chosen).unwrap_or(u64::MAX))
}

/// FNV-1a, and `SplitMix64`'s last step, which spreads it over all bits. The standard library's hash may change from one
/// release to the next, and with it the times of all schedules.
fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_bounded_steady_and_spread() {
        let most = Duration::from_mins(1);
        let delays: Vec<_> = (0..10_000).map(|n| delay(&format!("uid-{n}"), most)).collect();
        assert!(delays.iter().all(|delay| *delay <= most));
        for tenth in 0..10 {
            let within = Duration::from_secs(tenth * 6)..Duration::from_secs(tenth * 6 + 6);
            let share = delays.iter().filter(|delay| within.contains(delay)).count();
            assert!((800..1200).contains(&share), "{share} of 10000 in a tenth");
        }
        assert_eq!(delay("uid", Duration::ZERO), Duration::ZERO);
        // All releases agree.
        assert_eq!(
            delay("5fd2a1a4-93b1-4be4-a1f5-6b7c3bd3f9a1", Duration::from_hours(1)).as_millis(),
            2_673_470
        );
    }
}
