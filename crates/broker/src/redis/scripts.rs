//! The scripts, each with the fragments that it uses.

use std::sync::LazyLock;

use petiole_results::redis::{CHORD_LUA, STORE_LUA, Script};

/// A script of files in `lua/`, joined.
macro_rules! script {
    ($name:ident, $about:literal, $($file:literal),+) => {
        #[doc = $about]
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $file)), "\n"),+)));
    };
}

script!(REGISTER, "Registers a lease.", "lease.lua", "register.lua");
script!(BEAT, "Renews a lease.", "lease.lua", "beat.lua");
script!(TELL, "Takes note of what a worker says of itself, and answers it.", "lease.lua", "tell.lua");
script!(WISH, "Says what workers are to do.", "lease.lua", "wish.lua");
script!(LOADS, "Lists what workers say of themselves.", "loads.lua");
script!(RENEW, "Makes held messages young again.", "lease.lua", "renew.lua");
script!(SWEEP, "Ends the leases that have run out.", "lease.lua", "sweep.lua");
script!(END, "Ends one lease.", "end.lua");
script!(RESTORE, "Puts a worker's messages back.", "restore.lua");
script!(RECEIVE, "Takes messages.", "lease.lua", "due.lua", "line.lua", "turns.lua", "receive.lua");
script!(START, "Lets tasks start.", "lease.lua", "park.lua", "line.lua", "start.lua");
script!(SUBSCRIBE, "Takes from more queues.", "lease.lua", "subscribe.lua");
script!(RETURN_DUE, "Puts parked messages back.", "lease.lua", "due.lua", "return_due.lua");
script!(GIVE_UP, "Gives a queue's parked messages back.", "lease.lua", "due.lua", "line.lua", "give_up.lua");
script!(ABANDONED, "Puts messages of Celery's workers back.", "abandoned.lua");
script!(DEPTHS, "Counts what stands in queues.", "lease.lua", "depths.lua");
script!(UNACKED, "Looks for what Celery's workers hold.", "unacked.lua");
script!(BIND_EXPIRING, "Binds a queue that expires.", "lease.lua", "bind_expiring.lua");
script!(REPLY, "Answers a request.", "reply.lua");
script!(TAKE_ANSWERS, "Takes answers to requests of our own.", "take_answers.lua");
script!(REVOKE, "Revokes tasks.", "lease.lua", "revoke.lua");
script!(PARKED, "Lists parked messages.", "parked.lua");
script!(UNPARK, "Takes parked messages.", "lease.lua", "unpark.lua");
script!(TAKE_LETTERS, "Takes letters out of a dead-letter queue.", "take_letters.lua");
script!(STARTED, "Notes which attempts have begun.", "lease.lua", "started.lua");

/// Settles messages, and stores their records.
pub(super) static SETTLE: LazyLock<Script> =
    LazyLock::new(|| settle(&[include_str!("lua/settle_records.lua")]));

/// Settles messages, with whatever else is written for them.
pub(super) static SETTLE_EFFECTS: LazyLock<Script> =
    LazyLock::new(|| settle(&[CHORD_LUA, include_str!("lua/settle_effects.lua")]));

/// The script of settling with this middle part.
fn settle(middle: &[&str]) -> Script {
    let (lease, park) = (include_str!("lua/lease.lua"), include_str!("lua/park.lua"));
    let head = include_str!("lua/settle.lua");
    let parts = [&[STORE_LUA, lease, park, head], middle, &[include_str!("lua/settle_dispose.lua")]];
    Script::new(&parts.concat().join("\n"))
}
