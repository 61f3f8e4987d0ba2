//! Chords: the part that each task of a header is, the body once all are there, and what follows when one failed.

use super::options::{CHAIN, GROUP_ID, LINK_ERROR, MAX_OPTIONS, Options, TASK_ID};
use super::plan::{Plan, one};
use super::signature::{Kind, Signature};
use super::{CanvasError, FollowUps, Partial, Sender};
use crate::json::{self, quote, string};
use crate::message::Message;
use crate::record::{Document, Exception, State};

/// A task of a chord's header that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordPart {
    /// The chord's group.
    pub group: String,
    /// The task's place in it, the score in the store's sorted set. Without one it is behind all others.
    pub index: Option<u64>,
    /// The task.
    pub id: String,
    /// What the store keeps of it: the JSON text `[1, "<id>", "<STATE>", <result>]`.
    pub member: String,
    /// Ids of tasks that it has added to the chord, which waits for these too.
    pub adds: Vec<String>,
    /// The chord's body, as JSON text. It may be another than the one in the message of the task that ended.
    pub body: String,
}

impl ChordPart {
    pub(super) fn new(
        group: String,
        index: Option<u64>,
        id: &str,
        state: State,
        result: &str,
        body: &str,
    ) -> Self {
        let member = json::array(["1", &quote(id), &quote(state.as_str()), result]);
        Self { group, index, id: id.to_owned(), member, adds: Vec::new(), body: body.to_owned() }
    }
}

impl ChordPart {
    /// The parts that its task has added to the chord, failed by this: they were not sent.
    pub fn unsent(&self, exception: &Exception) -> Vec<Self> {
        let Self { group, index, id: _, member: _, adds, body } = self;
        let result = exception.to_json();
        let part = |id: &String| Self::new(group.clone(), *index, id, State::Failure, &result, body);
        adds.iter().map(part).collect()
    }
}

/// The part of a chord that this task is, now that it has ended in this state: its value, or the exception in its
/// document, as JSON text. `None` when it is in no header. Parts count in every ready state, and also where the result
/// itself is ignored.
pub fn part(parent: &Message, state: State, result: &str) -> Option<ChordPart> {
    let body = parent.follow_ups().chord?;
    let group = parent.group.clone().filter(|group| !group.is_empty())?;
    Some(ChordPart::new(group, parent.group_index, &parent.id, state, result, body))
}

/// Why a chord's body cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordFailure {
    /// What the body fails with.
    pub exception: Exception,
    /// What a part of the header failed with: that is what the members of a body that is a group fail with.
    pub cause: Option<Exception>,
}

impl ChordFailure {
    /// A task of the header failed, with this in its document.
    pub fn dependency(id: &str, result: &str) -> Self {
        let cause = Exception::read(result);
        let raised = cause.as_ref().map_or_else(|| crate::repr::python(result), Exception::repr);
        Self { exception: Exception::chord_error(&format!("Dependency {id} raised {raised}")), cause }
    }

    /// The values of a header with groups in it cannot be joined.
    pub fn join(exception: &Exception) -> Self {
        Self { exception: Exception::chord_error(&format!("Join error: {}", exception.repr())), cause: None }
    }

    /// The errbacks have been called already, by a chord in the header.
    fn is_told(&self) -> bool {
        self.cause.as_ref().is_some_and(Exception::is_chord_error)
    }

    /// The body cannot be called.
    pub fn callback(error: &CanvasError) -> Self {
        let error = error.exception();
        Self { exception: Exception::chord_error(&format!("Callback error: {}", error.repr())), cause: None }
    }
}

/// The values of a header from what the store kept of its parts, in its order ([`ChordPart::member`]), as JSON texts.
pub fn values<'a>(members: impl IntoIterator<Item = &'a str>) -> Result<Vec<&'a str>, Box<ChordFailure>> {
    let unreadable = || {
        Box::new(ChordFailure::join(&Exception::decode_error(
            "a part in the store is no `[1, id, state, result]`",
        )))
    };
    members
        .into_iter()
        .map(|member| {
            let parts = json::elements(member.as_bytes()).map_err(|_| unreadable())?;
            let [_, id, state, result] = parts[..] else { return Err(unreadable()) };
            match string(state).as_deref() {
                Some("FAILURE" | "REVOKED") => {
                    Err(ChordFailure::dependency(&string(id).unwrap_or_default(), result).into())
                }
                Some(_) => Ok(result),
                None => Err(unreadable()),
            }
        })
        .collect()
}

/// Calls a chord's body with the values of its header. `last` is the task that completed it, the body's parent.
pub fn body(
    last: &Message,
    body: &str,
    values: &[&str],
    sender: &Sender<'_>,
) -> Result<FollowUps, CanvasError> {
    let body = Signature::read(body)?;
    let mut plan = Plan::new(last, sender, &purpose("body of", &body));
    let values = one(&json::array(values.iter().copied()));
    plan.apply(body, Partial { args: Some(&values), kwargs: None }, Options::default())?;
    Ok(plan.out)
}

/// What follows when a chord's body cannot run: its errbacks, then a document for it, for each step behind it, and for
/// each member of a body that is a group.
///
/// The body's document names the children of the task that completed the header, and the errbacks after them (Celery's
/// way, and how its own tests find an errback's result). `children` are what that task has sent; `None` when it did not
/// run.
///
/// A body that is itself a part of a chord is a failed part of that one, and a body that is a chord fails with its own
/// body; Celery forgets both, so that whoever waits for them waits forever. Where a chord fails since one in its header
/// has, its errbacks are not called: a client that links an errback to a chord links it to those in its header too, so
/// that it has been called.
///
/// What cannot be read is left out, and said in [`FollowUps::refused`].
pub fn chord_failed(
    last: &Message,
    body: &str,
    failure: &ChordFailure,
    children: Option<&[String]>,
    sender: &Sender<'_>,
) -> FollowUps {
    let mut body = match Signature::read(body) {
        Ok(body) => body,
        Err(error) => return FollowUps { refused: Some(error), ..FollowUps::default() },
    };
    let mut plan = Plan::new(last, sender, &purpose("failed body of", &body));
    let chain = body.options.given(CHAIN).map(str::to_owned);
    let ChordFailure { exception, cause } = failure;
    if matches!(body.kind, Kind::Group(_)) {
        let exception = cause.as_ref().unwrap_or(exception);
        if let Err(error) = plan.fail_body_group(&mut body, exception, failure.is_told(), children) {
            plan.out.refuse(error);
        }
    } else {
        let id = body.id().unwrap_or_else(|| plan.new_id());
        body.options.set_text(TASK_ID, &id);
        let mut inner = (!failure.is_told()).then_some(&body);
        while let Some(body) = inner {
            let id = body.id().unwrap_or_default();
            plan.call_errbacks(&id, &id, body.options.list(LINK_ERROR));
            inner = match &body.kind {
                Kind::Chord(chord) => chord.body.as_ref(),
                _ => None,
            };
        }
        plan.fail_body(id, exception, children);
        plan.fail_all([body].into(), exception);
    }
    plan.fail_steps(chain.as_deref(), exception);
    plan.out
}

/// What ids are made for: one task can complete several chords.
fn purpose(what: &str, body: &Signature) -> String {
    let group = body.options.text(GROUP_ID).unwrap_or_default();
    format!("{what} {group}\0{}", body.id().unwrap_or_default())
}

impl Plan<'_> {
    fn fail_body(&mut self, id: String, exception: &Exception, children: Option<&[String]>) {
        let children = children.map(|own| [own, self.out.children.as_slice()].concat());
        let document = Document::failure(&id, exception, self.sender.now).children(children.as_deref());
        let document = document.to_json();
        if let Err(error) = self.record(id, document) {
            self.out.refuse(error);
        }
    }

    /// Every member fails, with its errbacks and those of the group; then the group.
    fn fail_body_group(
        &mut self,
        body: &mut Signature,
        exception: &Exception,
        told: bool,
        children: Option<&[String]>,
    ) -> Result<(), CanvasError> {
        let group = self.freeze(body, super::freeze::Ids::default())?;
        let of_group: Vec<String> = body.options.list(LINK_ERROR).into_iter().map(str::to_owned).collect();
        for (member, result) in body.members().iter().zip(group.members.iter().flatten()) {
            let mut errbacks = Vec::new();
            for errback in errbacks_of(member).into_iter().chain(of_group.iter().map(|errback| &**errback)) {
                if errbacks.len() < MAX_OPTIONS && !errbacks.contains(&errback) {
                    errbacks.push(errback);
                }
            }
            if !told {
                self.call_errbacks(&result.id, &result.id, errbacks);
            }
            self.fail_body(result.id.clone(), exception, children);
            self.fail_all([member.clone()].into(), exception);
            self.out.revokes.push(result.id.clone());
        }
        self.fail_body(group.id, exception, children);
        Ok(())
    }
}

/// The errbacks of what a member of a group ends with: of a chord, also its body's; of a group, its members'.
fn errbacks_of(member: &Signature) -> Vec<&str> {
    let mut errbacks = member.options.list(LINK_ERROR);
    match &member.kind {
        Kind::Chord(chord) => errbacks.extend(chord.body.iter().flat_map(errbacks_of)),
        Kind::Group(tasks) => errbacks.extend(tasks.iter().flat_map(errbacks_of)),
        _ => {}
    }
    errbacks
}
