//! Calling a signature, as Celery's `apply_async` does: which messages that sends, and which chords it starts.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::freeze::Ids;
use super::options::{
    ADD_TO_PARENT, CHAIN, CHORD, COUNTDOWN, ETA, GROUP_ID, GROUP_INDEX, LINK, LINK_ERROR, Options, PARENT_ID,
    ROOT_ID, TASK_ID, list,
};
use super::signature::{Kind, Signature, put_list};
use super::tree::ResultTree;
use super::{CanvasError, ChordStart, FollowUps, MAX_BYTES, MAX_MESSAGES, Outgoing, Partial, Sender};
use crate::json;
use crate::message::Message;

/// The name space of all ids that are made here.
const IDS: Uuid = Uuid::from_u128(0x6f0e_7a5c_3c1d_4b8e_9a37_52c4_d1b0_86f2);

/// The task that sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent<'a> {
    pub(super) id: &'a str,
    pub(super) root: &'a str,
    pub(super) reply_to: Option<&'a str>,
}

impl<'a> Parent<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self {
            id: &message.id,
            root: message.root_id.as_deref().unwrap_or(&message.id),
            reply_to: message.reply_to.as_deref(),
        }
    }
}

/// What one task sends, as far as it is known.
pub(super) struct Plan<'a> {
    pub(super) sender: &'a Sender<'a>,
    pub(super) parent: Parent<'a>,
    pub(super) out: FollowUps,
    /// Tasks that a document was made for.
    pub(super) failed: HashSet<String>,
    bytes: usize,
    ids: Uuid,
    next: u64,
}

impl<'a> Plan<'a> {
    /// A plan for one purpose: the ids that it makes are the same each time that the same delivery serves it.
    pub(super) fn new(message: &'a Message, sender: &'a Sender<'a>, purpose: &str) -> Self {
        let Sender { delivery, .. } = sender;
        let ids = Uuid::new_v5(&IDS, format!("{delivery}\0{}\0{purpose}", message.id).as_bytes());
        let (parent, out) = (Parent::of(message), FollowUps::default());
        Self { sender, parent, out, failed: HashSet::new(), bytes: 0, ids, next: 0 }
    }

    /// Counts bytes that are about to be written, and refuses too many.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), CanvasError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES { Err(CanvasError::TooLarge) } else { Ok(()) }
    }

    pub(super) fn new_id(&mut self) -> String {
        self.next += 1;
        Uuid::new_v5(&self.ids, self.next.to_string().as_bytes()).to_string()
    }

    /// Calls a signature. Returns its result; there is none of a chain without tasks.
    pub(super) fn apply(
        &mut self,
        mut signature: Signature,
        partial: Partial<'_>,
        call: Options,
    ) -> Result<Option<ResultTree>, CanvasError> {
        match signature.kind {
            Kind::Task => {
                let prepends = !signature.immutable && partial.args.is_some_and(|args| args != "[]");
                signature.prepend(partial);
                signature.copied |= prepends;
                signature.options = signature.options.called_with(&call);
                let adds = signature.options.remove(ADD_TO_PARENT).as_deref() != Some("false");
                let result = self.publish(signature)?;
                if adds {
                    self.out.children.push(result.to_json());
                }
                Ok(Some(result))
            }
            Kind::Group(tasks) => self.apply_group(tasks, &signature.options, partial, call).map(Some),
            Kind::Chain(tasks) => {
                let mut options = signature.options;
                options.update(&call);
                self.apply_chain(tasks, options, partial)
            }
            Kind::Chord(_) => self.apply_chord(signature, partial, call).map(Some),
        }
    }

    /// Sends a message.
    fn publish(&mut self, signature: Signature) -> Result<ResultTree, CanvasError> {
        if self.out.sends.len() >= MAX_MESSAGES {
            return Err(CanvasError::TooManyMessages);
        }
        self.charge(signature.text_len())?;
        let id = signature.id().unwrap_or_else(|| self.new_id());
        let delivery_tag = self.new_id();
        let outgoing = Outgoing::of(signature, id, delivery_tag, &self.parent, self.sender)?;
        let result = ResultTree::task(&*outgoing.id);
        self.out.sends.push(outgoing);
        Ok(result)
    }

    /// The first task of a chain is sent, with the others in its message.
    fn apply_chain(
        &mut self,
        tasks: Vec<Signature>,
        mut options: Options,
        partial: Partial<'_>,
    ) -> Result<Option<ResultTree>, CanvasError> {
        let id = options.text(TASK_ID);
        let group = options.text(GROUP_ID);
        let root = options.text(ROOT_ID);
        let chord = options.take(CHORD);
        let link = options.take(LINK);
        let link_error = options.take(LINK_ERROR);
        let index = options.take(GROUP_INDEX).and_then(|index| index.parse().ok());
        for own in [TASK_ID, GROUP_ID, ROOT_ID, PARENT_ID] {
            options.remove(own);
        }
        let ids = Ids {
            id: id.as_deref(),
            group: group.as_deref(),
            chord: chord.as_ref(),
            root: root.as_deref(),
            index,
        };
        let (mut steps, result) = self.prepare(tasks, partial, ids, &list(link_error.as_deref()), true)?;
        if let Some(last) = steps.first_mut() {
            last.options.append(LINK, &list(link.as_deref()));
        }
        let Some(first) = steps.pop() else { return Ok(None) };
        // The next step stands last: what follows the whole chain comes before its own steps.
        self.charge(steps.iter().map(Signature::text_len).sum())?;
        let outer = options.take(CHAIN);
        let rest = Partial { args: outer.as_deref(), kwargs: None }.before(&json_list(&steps).into());
        options.set(CHAIN, rest);
        let alone = steps.is_empty();
        let applied = self.apply(first, Partial::default(), options)?;
        Ok(if alone { applied } else { result })
    }

    /// Every member of a group is sent.
    fn apply_group(
        &mut self,
        tasks: Vec<Signature>,
        own: &Options,
        partial: Partial<'_>,
        mut call: Options,
    ) -> Result<ResultTree, CanvasError> {
        let adds = call.remove(ADD_TO_PARENT).as_deref() != Some("false");
        let mut options = own.group_called_with(&call);
        let id = options.text(TASK_ID).unwrap_or_else(|| self.new_id());
        if tasks.is_empty() {
            return Ok(ResultTree::group(id, Vec::new()));
        }
        if self.out.sends.len() + tasks.len() > MAX_MESSAGES {
            return Err(CanvasError::TooManyMessages);
        }
        options.set_text(GROUP_ID, &id);
        let root = options.text(ROOT_ID);
        let chord = options.take(CHORD);
        for own in [TASK_ID, GROUP_INDEX] {
            options.remove(own);
        }
        options.set(ADD_TO_PARENT, "false");

        let mut members = Vec::with_capacity(tasks.len());
        self.members(tasks, &id, root.as_deref(), &mut members)?;
        let mut results = Vec::with_capacity(members.len());
        let (mut size, last) = (0_u64, members.len().saturating_sub(1));
        for (at, (member, result)) in members.into_iter().enumerate() {
            size += member.size(&id);
            let mut call = options.clone();
            let chord = chord.clone().or_else(|| member.options.given(CHORD).map(Into::into));
            if let Some(chord) = chord {
                if at == last && size > 0 {
                    self.out.starts.push(ChordStart { group: id.clone(), size, saved: None });
                }
                call.set(CHORD, chord);
            }
            self.apply(member, partial, call)?;
            results.push(result);
        }
        let mut result = ResultTree::group(id, results);
        // A group of one chain that ends in a group is that group.
        if let Some([ResultTree { members: Some(_), .. }]) = result.members.as_deref()
            && let Some(only) = result.members.as_mut().and_then(Vec::pop)
        {
            result = only;
        }
        if adds {
            self.out.children.push(result.to_json());
        }
        Ok(result)
    }

    /// A group's members, those of groups in it among them, with their ids. Those of a group in it count their places
    /// anew (Celery's way; a chord's header is flat before it gets here).
    fn members(
        &mut self,
        tasks: Vec<Signature>,
        group: &str,
        root: Option<&str>,
        members: &mut Vec<(Signature, ResultTree)>,
    ) -> Result<(), CanvasError> {
        for (index, mut task) in tasks.into_iter().enumerate() {
            if task.is_empty_chain() {
                continue;
            }
            task.copied = true;
            if let Kind::Group(inner) = task.kind {
                self.members(inner, group, root, members)?;
                continue;
            }
            let ids = Ids { group: Some(group), root, index: Some(index), ..Ids::default() };
            let result = self.freeze(&mut task, ids)?;
            members.push((task, result));
        }
        Ok(())
    }

    /// A chord's header is sent, its body in every message of it. Without a header, the body is.
    fn apply_chord(
        &mut self,
        mut signature: Signature,
        partial: Partial<'_>,
        mut call: Options,
    ) -> Result<ResultTree, CanvasError> {
        signature.prepend(partial);
        let Signature { args, kwargs, kind, options: mut own, .. } = signature;
        let Kind::Chord(chord) = kind else { return Err(CanvasError::NoBody) };
        let mut header = chord.header;
        let mut body = chord.body.ok_or(CanvasError::NoBody)?;
        // What delays a chord delays its header, not its body.
        let mut delay = Options::default();
        for name in [COUNTDOWN, ETA] {
            let value = call.take(name).or_else(|| own.given(name).map(Into::into));
            own.remove(name);
            if let Some(value) = value {
                delay.set(name, value);
            }
        }
        let callbacks = [LINK, LINK_ERROR].map(|name| (name, call.take(name)));
        body.options = body.options.called_with(&call.for_body());
        body.copied = true;
        let id = own.text(TASK_ID);
        let group = match header.options.text(TASK_ID).filter(|_| chord.frozen).or_else(|| id.clone()) {
            Some(group) => group,
            None => self.new_id(),
        };
        let mut options = own;
        options.update(&call);
        for (name, value) in callbacks {
            if let Some(value) = value {
                options.set(name, value);
            }
        }
        options.remove(TASK_ID);
        let root = body.options.text(ROOT_ID);
        body.link_body(&mut options);
        // Celery lets a group that the chord is called with have its way here, so that the body of a chord, in a group at
        // the end of a chain, in a header, would count for nobody.
        let group_id = body.options.remove(GROUP_ID);
        body.options.update(&options.for_body());
        if let Some(group_id) = group_id {
            body.options.set(GROUP_ID, group_id);
        }
        body.unroll_chords();
        let ids = Ids { id: id.as_deref(), group: Some(&group), root: root.as_deref(), ..Ids::default() };
        let mut result = self.freeze(&mut body, ids)?;
        body.strip_headers();
        for own in [CHAIN, CHORD] {
            options.remove(own);
        }

        header.options.set_text(TASK_ID, &group);
        self.charge(body.text_len())?;
        let text: Arc<str> = body.to_json().into();
        let ids = Ids { group: Some(&group), chord: Some(&text), root: root.as_deref(), ..Ids::default() };
        let header_result = self.freeze_group(&mut header, ids)?;
        let saved = header_result.members.iter().flatten().any(|member| member.members.is_some());
        let saved = saved.then(|| format!("{{\"result\": {}}}", header_result.to_json()));
        result.set_origin(header_result);
        let Kind::Group(tasks) = header.kind else { return Ok(result) };
        if tasks.is_empty() {
            self.apply(body, Partial { args: Some("[[]]"), kwargs: None }, Options::default())?;
            return Ok(result);
        }
        options.set_text(TASK_ID, &group);
        options.update(&delay);
        let before = self.out.starts.len();
        let partial = Partial { args: Some(&args), kwargs: Some(&kwargs) };
        self.apply_group(tasks, &header.options, partial, options)?;
        let start = self.out.starts[before..].iter_mut().find(|start| start.group == group);
        if let Some(start) = start {
            start.saved = saved;
        }
        Ok(result)
    }
}

/// The JSON text of an array of signatures.
fn json_list(signatures: &[Signature]) -> String {
    let mut out = String::new();
    put_list(&mut out, signatures);
    out
}

/// The options of a call that follows a task: in its workflow, and its child.
pub(super) fn following(parent: &Parent<'_>, priority: Option<u8>) -> Options {
    let mut call = Options::default();
    call.set_text(PARENT_ID, parent.id);
    call.set_text(ROOT_ID, parent.root);
    if let Some(priority) = priority {
        call.set(super::options::PRIORITY, priority.to_string());
    }
    call
}

/// An array of one value.
pub(super) fn one(value: &str) -> String {
    json::array([value])
}
