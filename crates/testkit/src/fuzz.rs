//! A decoder under bytes that nobody meant, and the corpus that its runs leave.
//!
//! The seeds are the caller's and the inputs kept in `tests/fuzz/corpus/` of its crate. Mutations are drawn from a fixed
//! sequence; an input whose outcome is new (another message, another shape) is mutated further, so that stable Rust
//! needs no instrumented build. `cargo test` does some hundred runs of each decoder; for longer:
//!
//! ```text
//!   FUZZ_SECONDS=600 FUZZ_SEED=7 FUZZ_KEEP=1 cargo test --release -p petiole-protocol --test fuzz -- --nocapture
//! ```
//!
//! The seconds are those of a processor. `FUZZ_KEEP` adds the inputs with new outcomes to the corpus. An input that fails
//! is printed as base64.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "it fails a test"
)]

mod mutate;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::mutate::{Numbers, mutated};

/// Runs without `FUZZ_SECONDS`, beside the seeds: a few seconds for all decoders of a debug build.
const RUNS: u64 = 500;

/// The longest input that is kept.
const KEPT: usize = 2 << 10;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// How long this thread has run so far; nothing where the system does not say.
fn on_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|text| text.parse().ok());
    nanoseconds.map(Duration::from_nanos).unwrap_or_default()
}

/// Feeds a decoder of the crate in this folder (`CARGO_MANIFEST_DIR`). `outcome` runs it once, checks what came of it,
/// and says in a word what that was.
pub fn fuzz(manifest_dir: &str, target: &str, seeds: Vec<Vec<u8>>, outcome: impl Fn(&[u8]) -> String) {
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let corpus = Path::new(manifest_dir).join("tests/fuzz/corpus").join(target).with_extension("txt");
    let kept = fs::read_to_string(&corpus).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut slowest = (Duration::ZERO, Vec::new());
    let mut once = |bytes: &[u8]| {
        let timed = || {
            let start = Instant::now();
            (outcome(bytes), start.elapsed())
        };
        let (outcome, took) = catch_unwind(AssertUnwindSafe(timed)).unwrap_or_else(|panic| {
            eprintln!("{target}: this input fails: {}", STANDARD.encode(bytes));
            resume_unwind(panic)
        });
        if took > slowest.0 {
            // Others share this machine: what counts is the time on its processor.
            let before = on_cpu();
            let _ = timed();
            let took = on_cpu().saturating_sub(before);
            if took > slowest.0 {
                slowest = (took, bytes.to_vec());
            }
        }
        // Numbers, and what is quoted of the input, would make every outcome new. A quotation may itself have quotes in it,
        // so nothing counts from the first one on.
        let said = outcome.split('"').next().unwrap_or_default();
        let word: String = if outcome.len() < 16 {
            outcome
        } else {
            said.chars().filter(|char| !char.is_ascii_digit()).take(48).collect()
        };
        seen.insert(word)
    };
    let mut inputs = seeds;
    for input in &inputs {
        once(input);
    }
    let first = inputs.len();
    for line in kept.lines() {
        let input = STANDARD.decode(line).unwrap();
        // What a change of the decoder has made the same as another is kept no longer.
        if once(&input) {
            inputs.push(input);
        }
    }
    let known = inputs.len();
    let (seconds, start) = (setting("FUZZ_SECONDS").map(Duration::from_secs), on_cpu());
    let mut numbers = Numbers(setting("FUZZ_SEED").unwrap_or_default());
    let mut runs = 0;
    while seconds.map_or(runs < RUNS, |seconds| on_cpu().saturating_sub(start) < seconds) {
        let input = mutated(&inputs, &mut numbers);
        if once(&input) {
            inputs.push(input);
        }
        runs += 1;
    }
    if seconds.is_some() {
        let (time, bytes) = &slowest;
        let text: String = STANDARD.encode(bytes).chars().take(4000).collect();
        eprintln!(
            "fuzz {target} runs={runs} outcomes={} new={} slowest_ms={} of {} bytes: {text}",
            inputs.len(),
            inputs.len() - known,
            time.as_millis(),
            bytes.len()
        );
    }
    if setting("FUZZ_KEEP").is_some() {
        let lines = inputs[first..].iter().filter(|input| input.len() <= KEPT);
        let lines: String = lines.map(|input| STANDARD.encode(input) + "\n").collect();
        fs::create_dir_all(corpus.parent().unwrap()).unwrap();
        fs::write(&corpus, lines).unwrap();
    }
}
