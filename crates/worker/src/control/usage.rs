//! What the kernel knows of this process and of the machine.

use nix::sys::resource::{UsageWho, getrusage};
use petiole_protocol::control::ResourceUsage;

/// What this process has used.
pub fn of_this_process() -> Option<ResourceUsage> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Some(ResourceUsage {
        utime: seconds(usage.user_time()),
        stime: seconds(usage.system_time()),
        maxrss: count(usage.max_rss()),
        minflt: count(usage.minor_page_faults()),
        majflt: count(usage.major_page_faults()),
        inblock: count(usage.block_reads()),
        oublock: count(usage.block_writes()),
        nvcsw: count(usage.voluntary_context_switches()),
        nivcsw: count(usage.involuntary_context_switches()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "exact for some thousand years of running")]
fn seconds(time: nix::sys::time::TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// The load averages over 1, 5 and 15 minutes; zeros where the kernel does not tell.
pub fn load() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or_default());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        assert!(of_this_process().unwrap().maxrss > 0);
    }
}
