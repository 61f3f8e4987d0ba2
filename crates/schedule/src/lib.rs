//! When a periodic task is due.
//!
//! | module | what it says |
//! | --- | --- |
//! | [`crontab`] | by the clock on the wall, as Celery's crontab; through changes of the clock |
//! | [`Every`], [`At`] | equally far apart; once each |
//! | [`solar`] | by the sun at a place |
//! | [`schedule`] | several of them as one, with a zone, a start and an end |
//! | [`due`] | what is to run now, and what was missed |
//! | [`dst`] | the times that a change of the clock affects |
//! | [`delay`] | the jitter of an object |
//!
//! ```
//! use petiole_schedule::{Crontab, zone};
//!
//! let crontab: Crontab = "30 2 * * mon-fri".parse()?;
//! let next = crontab.next("2026-11-20T12:00:00Z".parse()?, &zone("Europe/Berlin")?);
//! assert_eq!(next, Some("2026-11-23T01:30:00Z".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything here is pure: no clock, no client, no runtime. Whoever calls brings `now`. All times of a schedule follow
//! from what it says and the zone's rules, never from when it ran: each leader finds the same.

mod at;
pub mod crontab;
pub mod dst;
pub mod due;
mod every;
mod jitter;
pub mod schedule;
pub mod solar;
mod zone;

pub use at::At;
pub use crontab::Crontab;
pub use due::{CatchUp, Due};
pub use every::{BadInterval, Every};
pub use jitter::delay;
pub use schedule::{Rule, Schedule};
pub use solar::Solar;
pub use zone::{UnknownZone, zone};
