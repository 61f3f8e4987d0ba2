//! The worker: pulls messages from the broker, has their tasks run in the container beside it, stores results.
//!
//! ```text
//!            receive ──────> admit ──────> run ──────> settle ──────> commit
//!   broker ────┘              pure       pure, with      pure           └──> store, broker
//!                                        frames to the
//!                                        task container
//! ```
//!
//! - The steps: [`receive`], [`admit`], [`run`], [`settle`], [`commit`]; [`join`] when a chord is complete; [`work`] and [`outcome`] are what passes
//!   between them.
//! - [`worker`]: the loop that holds them together; [`turn`]: the end of each of its turns. [`drain`]: how it stops; `wish`: how it is told that it is to, and that it is not. [`session`]: one incarnation of the worker. [`lease`]: how it
//!   says that it lives. [`socket`]: frames from and to the task container.
//! - [`predecessor`]: what an earlier process of this pod still holds. `noting`: which attempts the broker knows to have
//!   begun, should this process end.
//! - [`control`]: what is asked of it beside tasks, and what is revoked. [`events`]: what it tells whoever listens.
//! - `admits`, `ends`, `unlocks`: the loop's side of an admission, of an ending, and of a chord that nobody counts. `rates`: tasks with a rate limit.
//! - [`accept`]: which forms of messages are read. [`signing`]: what is sent is signed. [`connect`]: where broker and store come from; [`redis`] is the real one. [`config`]: flags and the pool's file.
//!   [`metrics`]: what is counted.

pub mod accept;
pub mod admit;
mod admits;
pub mod backoff;
pub mod commit;
pub mod config;
pub mod connect;
pub mod control;
pub mod drain;
pub mod endpoint;
mod ends;
pub mod events;
pub mod join;
pub mod lease;
pub mod metrics;
mod noting;
pub mod outcome;
pub mod predecessor;
mod rates;
pub mod receive;
pub mod redis;
pub mod run;
pub mod session;
pub mod settle;
pub mod signing;
pub mod socket;
pub mod tally;
pub mod turn;
mod unlocks;
mod wish;
pub mod work;
pub mod worker;
