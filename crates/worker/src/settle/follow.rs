//! What is sent when a task has ended, and how the chords go on that it was a part of. Pure.

use bytes::Bytes;
use jiff::Timestamp;
use petiole_broker::{Outgoing, Refusal, Settled, Settlement, Target};
use petiole_protocol::canvas::builtin::{Builtin, expand};
use petiole_protocol::canvas::{self, ChordFailure, FollowUps, Sender};
use petiole_protocol::message::Message;
use petiole_protocol::record::{Exception, State};
use petiole_results::Precedence;
use petiole_results::chord::{CLAIM, ChordPart, ChordStart};

use super::{Complete, Ending, Settle, Step};
use crate::work::Work;

/// What a chord's header came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// The values of its tasks, as JSON texts.
    Values(Vec<String>),
    /// It has none: one of them failed, or they cannot be read.
    Failed(Box<ChordFailure>),
    /// The body is somebody else's to send.
    ClaimLost,
}

/// What to do now that a commit has been answered.
#[derive(Debug)]
pub enum Next {
    /// Commit this.
    Step(Box<Step>),
    /// Read what the chord's header came to, and go on with [`Settle::joined`].
    Join(Box<Ending>, Complete),
    /// Nothing is left to do.
    Over,
}

impl Settle {
    /// What follows a value. A canvas that cannot go on fails its task.
    pub(super) fn after_success(
        &self,
        message: &Message,
        queue: usize,
        value: &str,
        now: Timestamp,
    ) -> Result<FollowUps, Exception> {
        let follow_ups =
            self.sending(message, queue, now, |sender| canvas::after_success(message, value, sender));
        let mut follow_ups = follow_ups.map_err(|error| error.exception())?;
        self.can_start(&follow_ups)?;
        follow_ups.parts.extend(canvas::part(message, State::Success, value));
        Ok(follow_ups)
    }

    /// What a task of Celery's own sends, and its value.
    pub(super) fn expand(
        &self,
        builtin: Builtin,
        message: &Message,
        queue: usize,
        now: Timestamp,
    ) -> Result<(FollowUps, String), Exception> {
        let (sent, value) = self
            .sending(message, queue, now, |sender| expand(builtin, message, sender))
            .map_err(|error| error.exception())?;
        self.can_start(&sent)?;
        Ok((sent, value))
    }

    /// What runs in a task's place.
    pub(super) fn replacing(
        &self,
        work: &Work,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<FollowUps, Exception> {
        let Work { message, queue, mapping, .. } = work;
        if mapping.is_some() {
            let why = "a task that celery.map calls cannot be replaced";
            return Err(Exception::new("builtins", "ValueError", why));
        }
        let sent = self.sending(message, *queue, now, |sender| {
            canvas::replaced(message, &String::from_utf8_lossy(signature), sender)
        });
        let sent = sent.map_err(|error| error.exception())?;
        self.can_start(&sent)?;
        Ok(sent)
    }

    /// What a task adds to the chord that it is a part of.
    pub(super) fn adding(
        &self,
        work: &Work,
        signatures: &[Bytes],
        now: Timestamp,
    ) -> Result<FollowUps, Exception> {
        let Work { message, queue, mapping, .. } = work;
        if mapping.is_some() {
            let why = "a task that celery.map calls cannot add to a chord";
            return Err(Exception::new("builtins", "ValueError", why));
        }
        if !self.stores {
            return Err(Exception::no_result_store());
        }
        let texts: Vec<_> = signatures.iter().map(|signature| String::from_utf8_lossy(signature)).collect();
        let texts = texts.iter().map(|text| &**text);
        self.sending(message, *queue, now, |sender| canvas::added_to_chord(message, texts, sender))
            .map_err(|error| error.exception())
    }

    /// Chords are counted in the result store.
    fn can_start(&self, follow_ups: &FollowUps) -> Result<(), Exception> {
        if self.stores || follow_ups.starts.is_empty() { Ok(()) } else { Err(Exception::no_result_store()) }
    }

    /// What follows a failure.
    pub(super) fn after_failure(
        &self,
        message: &Message,
        queue: usize,
        exception: &Exception,
        now: Timestamp,
    ) -> FollowUps {
        self.sending(message, queue, now, |sender| canvas::after_failure(message, exception, sender))
    }

    pub(super) fn sending<T>(
        &self,
        message: &Message,
        queue: usize,
        now: Timestamp,
        make: impl FnOnce(&Sender<'_>) -> T,
    ) -> T {
        let own = self.queues.get(queue).cloned().unwrap_or_default();
        let route = |task: &str| {
            canvas::Target::Queue(self.routes.queue(task).map_or_else(|| own.clone(), str::to_owned))
        };
        make(&Sender {
            origin: &self.nodename,
            delivery: message.delivery_tag.as_deref().unwrap_or(&message.id),
            route: &route,
            inherit_priority: false,
            extended: self.extended,
            now,
        })
    }

    /// Adds follow-ups to a settlement, and what takes more commits.
    pub(super) fn follow(
        &self,
        settlement: Settlement,
        follow_ups: FollowUps,
        ending: impl FnOnce() -> Ending,
    ) -> Step {
        if follow_ups == FollowUps::default() {
            return settlement.into();
        }
        let mut ending = Box::new(ending());
        ending.children = Some(follow_ups.children.clone());
        self.write(settlement, follow_ups, ending)
    }

    /// A settlement with these follow-ups, that counts the next of the ending's parts.
    fn write(&self, settlement: Settlement, follow_ups: FollowUps, mut ending: Box<Ending>) -> Step {
        let FollowUps { starts, sends, records, parts, adds: _, children: _, revokes: _, refused } =
            follow_ups;
        if let Some(refused) = refused {
            tracing::warn!(id = ending.message.id, why = %refused, "a part of the canvas cannot go on");
        }
        if self.stores {
            ending.parts.extend(parts);
        }
        let mut settlement = Settlement { disposition: ending.settlement().disposition, ..settlement };
        if self.stores {
            settlement.starts.extend(starts.into_iter().map(|start| ChordStart {
                group: start.group,
                size: start.size,
                saved: start.saved,
                expires: self.expires,
            }));
            let records = records.into_iter();
            settlement
                .records
                .extend(records.map(|record| self.record(&record.id, record.document, Precedence::Result)));
        }
        settlement.sends.extend(sends.into_iter().map(outgoing));
        settlement.chord = self.next_part(&ending);
        Step { settlement, ending: Some(ending), own: true }
    }

    fn next_part(&self, ending: &Ending) -> Option<ChordPart> {
        let part = ending.parts.front()?;
        Some(ChordPart {
            group: part.group.clone(),
            task_id: part.id.clone(),
            index: part.index,
            member: part.member.clone(),
            adds: part.adds.clone(),
            expires: self.expires,
            claim: CLAIM,
            token: format!("{}-{}", self.life, ending.tag),
        })
    }

    /// What comes after a commit of an ending was answered so.
    pub fn answered(&self, mut ending: Box<Ending>, answer: Settled, now: Timestamp) -> Next {
        match answer {
            Settled::Lost => Next::Over,
            Settled::Done => {
                if ending.counted() {
                    self.next(ending)
                } else {
                    Next::Over
                }
            }
            Settled::ChordComplete(claim) => match ending.completed(claim) {
                Some(complete) => Next::Join(ending, complete),
                None => self.next(ending),
            },
            Settled::ClaimLost => {
                // What came with the body is counted by whoever sends that.
                let kept = ending.parts.len().saturating_sub(ending.with_body);
                ending.parts.truncate(kept);
                ending.with_body = 0;
                self.next(ending)
            }
            Settled::Refused(refusal) => self.refused(ending, &refusal, now),
        }
    }

    fn next(&self, ending: Box<Ending>) -> Next {
        let mut settlement = ending.settlement();
        settlement.chord = self.next_part(&ending);
        Next::Step(Box::new(Step { settlement, ending: Some(ending), own: true }))
    }

    /// The broker cannot write what was to be written: the task has failed by it, and so has what it added to its chord,
    /// which a store apart from the broker counts already. If that cannot be written either,
    /// nothing but its record is.
    fn refused(&self, mut ending: Box<Ending>, refusal: &Refusal, now: Timestamp) -> Next {
        ending.refusals += 1;
        tracing::warn!(id = ending.message.id, why = %refusal, "what follows a task cannot be written");
        let exception = Exception::not_sent(&refusal.to_string());
        let adding = ending.parts.drain(..).find(|part| !part.adds.is_empty());
        ending.with_body = 0;
        let record = self.stores.then(|| self.failed(&ending.message, ending.queue, &exception, &[], now));
        let settlement = ending.settlement().with_records(record);
        let follow_ups = if ending.refusals == 1 {
            let mut failed = self.after_failure(&ending.message, ending.queue, &exception, now);
            if let Some(adding) = adding {
                let own = failed.parts.iter_mut().filter(|part| part.id == adding.id);
                own.for_each(|part| part.adds.clone_from(&adding.adds));
                failed.parts.extend(adding.unsent(&exception));
            }
            failed
        } else {
            FollowUps::default()
        };
        Next::Step(Box::new(self.write(settlement, follow_ups, ending)))
    }

    /// Sends the body of a chord that is complete, or tells who waits for it that there is none.
    pub fn joined(
        &self,
        mut ending: Box<Ending>,
        complete: Complete,
        joined: &Joined,
        now: Timestamp,
    ) -> Next {
        let Complete { claim, part } = complete;
        let message = &ending.message;
        let failed = |failure: &ChordFailure| {
            self.sending(message, ending.queue, now, |sender| {
                canvas::chord_failed(message, &part.body, failure, ending.children.as_deref(), sender)
            })
        };
        let follow_ups = match joined {
            Joined::ClaimLost => return self.next(ending),
            Joined::Failed(failure) => failed(failure),
            Joined::Values(values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                let body = self.sending(message, ending.queue, now, |sender| {
                    canvas::body(message, &part.body, &values, sender)
                });
                body.unwrap_or_else(|error| failed(&ChordFailure::callback(&error)))
            }
        };
        ending.with_body = follow_ups.parts.len();
        let settlement = Settlement { finish: Some(claim), ..ending.settlement() };
        Next::Step(Box::new(self.write(settlement, follow_ups, ending)))
    }
}

/// Nothing but the part of a chord that the task was, ended in this state.
pub(super) fn only_part(message: &Message, state: State, exception: &Exception) -> FollowUps {
    let part = canvas::part(message, state, &exception.to_json());
    FollowUps { parts: part.into_iter().collect(), ..FollowUps::default() }
}

fn outgoing(outgoing: canvas::Outgoing) -> Outgoing {
    let to = match outgoing.to {
        canvas::Target::Queue(queue) => Target::Queue(queue),
        canvas::Target::Exchange { exchange, routing_key } if exchange.is_empty() => {
            Target::Queue(routing_key)
        }
        canvas::Target::Exchange { exchange, routing_key } => Target::Exchange { exchange, routing_key },
    };
    let priority = outgoing.envelope.properties.priority.unwrap_or_default();
    Outgoing { to, priority, message: outgoing.envelope.to_redis() }
}
