//! What the operator wants of a worker. It reaches the worker as the answer to what that says of itself.
//!
//! A wish lapses, and is said again for as long as it holds: when nobody says it any more, because the operator has ended
//! or cannot reach the broker, the worker works.

/// What a worker is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wish {
    /// Take messages.
    #[default]
    Work,
    /// Take no more, give back what has not begun, and finish what runs: its pod is to go.
    Drain,
}
