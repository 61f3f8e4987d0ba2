//! Checks: chords.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use petiole_results::chord::{CLAIM, ChordClaim, ChordStart};

use super::{
    Checked, MANY, Member, Subject, ids, ids_of, part, publish, queue, record, send, settlement, worker,
};
use crate::{BrokerError, Delivery, Disposition, Settled, Settlement};

/// A claim that runs out while a check waits for it, and long beside what a busy machine delays.
const SHORT: Duration = Duration::from_millis(300);

/// Begins the chord `g` of these tasks, and sends them; what the worker does for a step that is a chord.
async fn begun(subject: &dyn Subject, a: &Member, header: &[&str]) -> Checked {
    publish(subject, &["chord"]).await?;
    let held = a.consumer.receive(MANY).await?.remove(0);
    let size = header.len() as u64;
    let start = ChordStart { group: "g".to_owned(), size, saved: None, expires: Some(SHORT * 10_000) };
    let settle = Settlement {
        starts: vec![start],
        sends: header.iter().map(|id| send("mail", id, 0)).collect(),
        ..settlement(&held, Disposition::Ack)
    };
    assert_eq!(a.consumer.settle(&[settle]).await?, [Settled::Done]);
    Ok(())
}

/// The end of a header's task of this id and place.
fn ended(held: &Delivery, id: &str, index: u64, run: &str) -> Settlement {
    Settlement {
        chord: Some(part("g", id, index, run, CLAIM)),
        ..settlement(held, Disposition::Ack).with_records([record(id)])
    }
}

/// The sending of the chord's body, by this claim.
fn body(held: &Delivery, claim: ChordClaim) -> Settlement {
    Settlement {
        sends: vec![send("print", "body", 0)],
        finish: Some(claim),
        ..settlement(held, Disposition::Ack)
    }
}

fn complete(id: &str, index: u64, run: &str) -> (ChordClaim, Settled) {
    let claim = part("g", id, index, run, CLAIM).claimed();
    (claim.clone(), Settled::ChordComplete(claim))
}

async fn bodies(subject: &dyn Subject) -> Checked<usize> {
    Ok(subject.waiting("print", 0).await?.len())
}

async fn reserved(subject: &dyn Subject) -> Checked<u64> {
    Ok(subject.inspector().depths(&[queue("mail")]).await?[0].reserved)
}

pub async fn the_last_part_holds_its_message_until_the_body_is_sent(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0", "1"]).await?;
    let held = a.consumer.receive(MANY).await?;
    assert_eq!(ids(&held), ["0", "1"]);
    assert_eq!(a.consumer.settle(&[ended(&held[0], "0", 0, "a")]).await?, [Settled::Done]);
    let (claim, completed) = complete("1", 1, "a");
    assert_eq!(a.consumer.settle(&[ended(&held[1], "1", 1, "a")]).await?, [completed]);
    assert_eq!(reserved(subject).await?, 1);
    assert_eq!(subject.document("1").await?, Some(record("1").document));
    let members = subject.store().chord_parts("g").await?.members;
    assert_eq!(members, [("0", 0), ("1", 1)].map(|(id, at)| part("g", id, at, "", CLAIM).member));
    assert!(subject.store().chord_extend(&claim, CLAIM).await?);

    assert_eq!(a.consumer.settle(&[body(&held[1], claim.clone())]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["body"]);
    assert_eq!(reserved(subject).await?, 0);
    assert!(subject.store().chord_parts("g").await?.members.is_empty());
    assert!(!subject.store().chord_extend(&claim, CLAIM).await?);
    Ok(())
}

pub async fn a_chord_of_one_is_complete_at_once(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0"]).await?;
    let held = a.consumer.receive(MANY).await?;
    let (claim, completed) = complete("0", 0, "a");
    assert_eq!(a.consumer.settle(&[ended(&held[0], "0", 0, "a")]).await?, [completed]);
    assert_eq!(a.consumer.settle(&[body(&held[0], claim)]).await?, [Settled::Done]);
    assert_eq!(bodies(subject).await?, 1);
    Ok(())
}

pub async fn a_part_is_counted_with_what_it_adds(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0", "1"]).await?;
    let held = a.consumer.receive(MANY).await?;
    assert_eq!(a.consumer.settle(&[ended(&held[1], "1", 1, "a")]).await?, [Settled::Done]);
    let mut adding = ended(&held[0], "0", 0, "a");
    adding.chord.iter_mut().for_each(|part| part.adds = vec!["2".to_owned()]);
    adding.sends = vec![send("mail", "2", 0)];
    assert_eq!(a.consumer.settle(&[adding]).await?, [Settled::Done]);
    let added = a.consumer.receive(MANY).await?;
    assert_eq!(ids(&added), ["2"]);
    let (_, completed) = complete("2", 0, "a");
    assert_eq!(a.consumer.settle(&[ended(&added[0], "2", 0, "a")]).await?, [completed]);
    Ok(())
}

pub async fn parts_of_one_batch_complete_once(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0", "1", "2"]).await?;
    let held = a.consumer.receive(MANY).await?;
    let ends = [(0, "0"), (1, "1"), (2, "2")].map(|(at, id)| ended(&held[at], id, at as u64, "a"));
    let settled = a.consumer.settle(&ends).await?;
    assert_eq!(settled, [Settled::Done, Settled::Done, complete("2", 2, "a").1]);
    assert_eq!(reserved(subject).await?, 1);
    Ok(())
}

pub async fn two_finishers_at_once_complete_once(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    begun(subject, &a, &["0", "1"]).await?;
    let (held_a, held_b) = (a.consumer.receive(1).await?, b.consumer.receive(1).await?);
    // Each has run both tasks: their messages were in the queue twice.
    publish(subject, &["1", "0"]).await?;
    let (again_a, again_b) = (a.consumer.receive(1).await?, b.consumer.receive(1).await?);
    let batch_a = [ended(&held_a[0], "0", 0, "a"), ended(&again_a[0], "1", 1, "a")];
    let batch_b = [ended(&held_b[0], "1", 1, "b"), ended(&again_b[0], "0", 0, "b")];
    let (settled_a, settled_b) = tokio::join!(a.consumer.settle(&batch_a), b.consumer.settle(&batch_b));
    let claims: Vec<_> = [(&a, settled_a?, &held_a, &again_a), (&b, settled_b?, &held_b, &again_b)]
        .into_iter()
        .flat_map(|(member, settled, first, second)| {
            let held = [(&first[0], settled[0].clone()), (&second[0], settled[1].clone())];
            held.map(|(held, settled)| (member, held, settled))
        })
        .filter_map(|(member, held, settled)| match settled {
            Settled::ChordComplete(claim) => Some((member, held, claim)),
            _ => None,
        })
        .collect();
    // A second run of the part that was last may have taken the claim over: then the first is told.
    let mut sent = 0;
    for (member, held, claim) in claims {
        match &member.consumer.settle(&[body(held, claim)]).await?[..] {
            [Settled::Done] => sent += 1,
            settled => assert_eq!(settled, [Settled::ClaimLost]),
        }
    }
    assert_eq!((sent, bodies(subject).await?), (1, 1));
    Ok(())
}

pub async fn a_part_that_is_delivered_twice_counts_once(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0", "0", "1"]).await?;
    // A header of three, of which one task was sent twice.
    let held = a.consumer.receive(MANY).await?;
    let ends = [ended(&held[0], "0", 0, "a"), ended(&held[1], "0", 0, "b"), ended(&held[2], "1", 1, "a")];
    assert_eq!(a.consumer.settle(&ends).await?, [Settled::Done, Settled::Done, Settled::Done]);
    assert_eq!(subject.store().chord_parts("g").await?.members.len(), 2);
    Ok(())
}

pub async fn a_worker_that_ends_between_claim_and_body_strands_nothing(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    begun(subject, &a, &["0"]).await?;
    let held = a.consumer.receive(MANY).await?;
    let (old, completed) = complete("0", 0, "a");
    assert_eq!(a.consumer.settle(&[ended(&held[0], "0", 0, "a")]).await?, [completed]);
    // Long before the claim runs out.
    subject.inspector().end("a").await?;
    b.lease.beat().await?;
    let again = b.consumer.receive(MANY).await?;
    let (claim, completed) = complete("0", 0, "b");
    assert_eq!(b.consumer.settle(&[ended(&again[0], "0", 0, "b")]).await?, [completed]);
    assert!(matches!(a.consumer.settle(&[body(&held[0], old)]).await, Err(BrokerError::LeaseLost)));
    assert_eq!(bodies(subject).await?, 0);
    assert_eq!(b.consumer.settle(&[body(&again[0], claim)]).await?, [Settled::Done]);
    assert_eq!(bodies(subject).await?, 1);
    Ok(())
}

pub async fn a_claim_that_ran_out_is_taken_by_the_next_part(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0", "1"]).await?;
    publish(subject, &["0"]).await?;
    let held = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[ended(&held[0], "0", 0, "a")]).await?;
    let slow =
        Settlement { chord: Some(part("g", "1", 1, "a", SHORT)), ..settlement(&held[1], Disposition::Ack) };
    let (old, completed) = complete("1", 1, "a");
    assert_eq!(a.consumer.settle(&[slow]).await?, [completed]);
    subject.pass(SHORT).await?;
    a.lease.beat().await?;
    let (claim, completed) = complete("0", 0, "b");
    assert_eq!(a.consumer.settle(&[ended(&held[2], "0", 0, "b")]).await?, [completed]);
    let late = body(&held[1], old).with_records([record("late")]);
    assert_eq!(a.consumer.settle(&[late]).await?, [Settled::ClaimLost]);
    assert_eq!((bodies(subject).await?, subject.document("late").await?), (0, None));
    assert_eq!(reserved(subject).await?, 2);
    // The one has nothing more to do, the other sends the body.
    let batch = [settlement(&held[1], Disposition::Ack), body(&held[2], claim)];
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Done, Settled::Done]);
    assert_eq!((bodies(subject).await?, reserved(subject).await?), (1, 0));
    Ok(())
}

pub async fn a_part_that_comes_after_the_body_does_nothing(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0"]).await?;
    publish(subject, &["0"]).await?;
    let held = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[ended(&held[0], "0", 0, "a")]).await?;
    a.consumer.settle(&[body(&held[0], complete("0", 0, "a").0)]).await?;
    assert_eq!(a.consumer.settle(&[ended(&held[1], "0", 0, "b")]).await?, [Settled::Done]);
    assert!(subject.store().chord_parts("g").await?.members.is_empty());
    assert_eq!(reserved(subject).await?, 0);
    Ok(())
}

pub async fn a_chord_that_was_completed_without_an_answer_sends_one_body(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    begun(subject, &a, &["0"]).await?;
    let held = a.consumer.receive(MANY).await?;
    let end = Settlement { sends: vec![send("other", "callback", 0)], ..ended(&held[0], "0", 0, "a") };
    let (claim, completed) = complete("0", 0, "a");
    subject.lose_answers().await?;
    assert!(a.consumer.settle(std::slice::from_ref(&end)).await.is_err());
    subject.answer_again().await?;
    a.lease.beat().await?;
    assert_eq!(a.consumer.settle(&[end]).await?, [completed]);
    assert_eq!(subject.waiting("other", 0).await?.len(), 1);
    let body = [body(&held[0], claim)];
    subject.lose_answers().await?;
    assert!(a.consumer.settle(&body).await.is_err());
    subject.answer_again().await?;
    a.lease.beat().await?;
    assert_eq!(a.consumer.settle(&body).await?, [Settled::Done]);
    assert_eq!(bodies(subject).await?, 1);
    Ok(())
}
