//! The scripts, each with the fragments that it uses.

use std::sync::LazyLock;

use petiole_results::redis::{STORE_LUA, Script};

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
script!(RENEW, "Makes held messages young again.", "lease.lua", "renew.lua");
script!(SWEEP, "Ends the leases that have run out.", "lease.lua", "sweep.lua");
script!(END, "Ends one lease.", "end.lua");
script!(RESTORE, "Puts a worker's messages back.", "restore.lua");
script!(RECEIVE, "Takes messages.", "lease.lua", "due.lua", "receive.lua");
script!(RETURN_DUE, "Puts parked messages back.", "lease.lua", "due.lua", "return_due.lua");
script!(UNPARK, "Gives a queue's parked messages back.", "lease.lua", "due.lua", "unpark.lua");
script!(ABANDONED, "Puts messages of Celery's workers back.", "abandoned.lua");
script!(UNLOCK, "Gives kombu's lock back.", "unlock.lua");
script!(DEPTHS, "Counts what stands in queues.", "lease.lua", "depths.lua");

/// Settles messages and stores their records.
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    let own = concat!(include_str!("lua/lease.lua"), "\n", include_str!("lua/settle.lua"));
    Script::new(&format!("{STORE_LUA}\n{own}"))
});
