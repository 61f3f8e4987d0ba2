//! The lines of tasks that have a limit, in memory: the rules of `start.lua` and `turns.lua`. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use petiole_protocol::keys::priority_step;

use super::milliseconds;
use super::state::{Asks, HeldMessage, Parked, State};
use crate::rates::{microseconds, open};
use crate::{BrokerError, OVERDUE, SLACK, Start, Turn, Worker};

/// Between two looks at a line, in ms.
const LOOK: i64 = 10;

/// Who waits for a start, and when the last ones were.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// By pool and task: when the last start was, in microseconds.
    gates: HashMap<(String, String), i64>,
    /// By queue and task: step and number of each parked message, in their order; some have left.
    lines: BTreeMap<(String, String), Vec<(u8, u64)>>,
}

impl Lines {
    fn gate(&mut self, worker: &Worker, task: &str) -> &mut i64 {
        let pool = format!("{}/{}", worker.namespace, worker.pool);
        self.gates.entry((pool, task.to_owned())).or_default()
    }
}

impl State {
    /// Lets held messages start, or parks them.
    pub(super) fn let_start(
        &mut self,
        worker: &Worker,
        limits: &BTreeMap<String, Duration>,
        batch: &[Start],
        now: i64,
    ) -> Result<Vec<Turn>, BrokerError> {
        self.live(&worker.incarnation, now)?;
        let mut turns = Vec::with_capacity(batch.len());
        for start in batch {
            let Some(interval) = limits.get(&start.task) else {
                turns.push(Turn::Now);
                continue;
            };
            let held = self.live(&worker.incarnation, now)?.held.get(&start.tag);
            let Some(queue) = held.map(|held| worker.queues[held.queue].clone()) else {
                turns.push(Turn::Lost);
                continue;
            };
            let (interval, at) = (microseconds(*interval), now * 1000);
            let gate = self.lines.gate(worker, &start.task);
            let (count, next) = open(*gate, interval, at, microseconds(SLACK));
            let key = (queue.name.clone(), start.task.clone());
            if count > 0 && self.lines.lines.get(&key).is_none_or(Vec::is_empty) {
                *self.lines.gate(worker, &start.task) = next;
                turns.push(Turn::Now);
                continue;
            }
            let ahead: usize = worker
                .queues
                .iter()
                .filter_map(|queue| self.lines.lines.get(&(queue.name.clone(), start.task.clone())))
                .map(Vec::len)
                .sum();
            let ahead = i64::try_from(ahead).unwrap_or(i64::MAX);
            let due = next.max(at).saturating_add(interval.saturating_mul(ahead)) / 1000;
            let due = Timestamp::from_millisecond(due.saturating_add(milliseconds(OVERDUE)));
            let Some(HeldMessage { raw, .. }) = self.live(&worker.incarnation, now)?.held.remove(&start.tag)
            else {
                continue;
            };
            let step = priority_step(start.priority, &queue.priority_steps);
            let number = self.park(&queue, due.unwrap_or(Timestamp::MAX), Parked { step, raw });
            let line = self.lines.lines.entry(key).or_default();
            line.push((step, number));
            line.sort_unstable();
            turns.push(Turn::Later);
        }
        Ok(turns)
    }

    /// Takes those out of the lines of a queue whose turn has come.
    pub(super) fn turns(&mut self, asks: &Asks<'_>, queue: usize, most: usize, now: i64) -> Vec<Vec<u8>> {
        let name = &asks.worker.queues[queue].name;
        let of_queue = self.lines.lines.keys().filter(|(queue, _)| queue == name);
        let tasks: Vec<_> = of_queue.map(|(_, task)| task.clone()).collect();
        let mut taken = Vec::new();
        for task in tasks {
            let left = most - taken.len();
            let gate = self.lines.gate(asks.worker, &task);
            let interval = asks.limits.get(&task).map(|interval| microseconds(*interval));
            let (count, next) = match interval {
                Some(interval) => open(*gate, interval, now * 1000, microseconds(SLACK)),
                None => (i64::MAX, *gate),
            };
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(left);
            let found = self.first_in_line(name, &task, count);
            if let Some(interval) = interval
                && !found.is_empty()
            {
                let found = i64::try_from(found.len()).unwrap_or(i64::MAX);
                *self.lines.gate(asks.worker, &task) = next + interval * (found - 1);
            }
            taken.extend(found);
        }
        taken
    }

    fn first_in_line(&mut self, queue: &str, task: &str, count: usize) -> Vec<Vec<u8>> {
        let key = (queue.to_owned(), task.to_owned());
        let (Some(line), Some(parked)) = (self.lines.lines.get_mut(&key), self.parked.get_mut(queue)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        while found.len() < count && !line.is_empty() {
            let (_, number) = line.remove(0);
            let key = parked.keys().find(|(_, other)| *other == number).copied();
            found.extend(key.and_then(|key| parked.remove(&key)).map(|parked| parked.raw));
        }
        if line.is_empty() {
            self.lines.lines.remove(&key);
        }
        found
    }

    /// When a line of this queue is to be looked at, in ms: soon, where one is.
    pub(super) fn next_turn(&self, queue: &str, now: i64) -> Option<i64> {
        let lines = self.lines.lines.keys().any(|(of, _)| of == queue);
        lines.then(|| now + LOOK)
    }
}
