//! Single instants.

use jiff::Timestamp;

/// At these instants, once each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct At(Vec<Timestamp>);

impl At {
    /// The first one later than `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.0.get(self.0.partition_point(|at| *at <= after)).copied()
    }
}

impl FromIterator<Timestamp> for At {
    fn from_iter<I: IntoIterator<Item = Timestamp>>(instants: I) -> Self {
        let mut instants: Vec<_> = instants.into_iter().collect();
        instants.sort_unstable();
        instants.dedup();
        Self(instants)
    }
}
