//! Checks: chords.

use std::time::Duration;

use super::{Checked, Subject};
use crate::Store;
use crate::chord::{CLAIM, ChordPart, ChordParts, ChordStart, Counted};

/// A claim that runs out while a check waits for it, and long beside what a busy machine delays.
const SHORT: Duration = Duration::from_millis(300);

fn start(group: &str, size: u64) -> ChordStart {
    ChordStart { group: group.to_owned(), size, saved: None, expires: Some(Duration::from_hours(24)) }
}

fn part(group: &str, index: u64, token: &str) -> ChordPart {
    ChordPart {
        group: group.to_owned(),
        task_id: format!("{group}-{index}"),
        index: Some(index),
        adds: Vec::new(),
        member: format!(r#"[1, "{group}-{index}", "SUCCESS", {index}]"#),
        expires: Some(Duration::from_hours(24)),
        claim: CLAIM,
        token: token.to_owned(),
    }
}

async fn count(store: &dyn Store, part: &ChordPart) -> Checked<Counted> {
    Ok(store.chord_part(std::slice::from_ref(part)).await?.remove(0))
}

pub(super) async fn exercise(subject: &mut dyn Subject) -> Checked {
    the_part_that_completes_a_chord_claims_its_body(subject).await?;
    parts_are_read_in_the_order_of_their_places(subject).await?;
    a_part_that_comes_again_counts_once(subject).await?;
    a_call_that_is_made_again_is_answered_as_before(subject).await?;
    a_later_run_of_the_same_part_takes_its_claim_over(subject).await?;
    a_claim_that_ran_out_is_anybodys(subject).await?;
    a_claim_that_is_extended_lasts(subject).await?;
    a_claim_that_nobody_took_can_still_be_used(subject).await?;
    a_part_that_comes_when_all_is_done_changes_nothing(subject).await?;
    a_chord_that_is_sent_again_is_counted_again(subject).await?;
    a_chord_waits_for_what_its_parts_add(subject).await?;
    a_part_of_no_chord_completes_nothing(subject).await
}

async fn a_chord_waits_for_what_its_parts_add(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    store.chord_start(&[start("grown", 2)]).await?;
    let grows = ChordPart { adds: vec!["a\"+".to_owned(), "b".to_owned()], ..part("grown", 0, "x") };
    assert_eq!(count(store, &grows).await?, Counted::Yes);
    // A later run of it adds the same.
    assert_eq!(count(store, &ChordPart { token: "y".to_owned(), ..grows }).await?, Counted::Yes);
    for index in [1, 2] {
        assert_eq!(count(store, &part("grown", index, "x")).await?, Counted::Yes);
    }
    let last = part("grown", 3, "x");
    assert_eq!(count(store, &last).await?, Counted::Complete(last.claimed()));
    Ok(())
}

async fn the_part_that_completes_a_chord_claims_its_body(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    store.chord_start(&[start("two", 2), start("one", 1)]).await?;
    let counted = store.chord_part(&[part("two", 0, "a"), part("one", 0, "b"), part("two", 1, "c")]).await?;
    let complete = |part: &ChordPart| Counted::Complete(part.claimed());
    assert_eq!(counted, [Counted::Yes, complete(&part("one", 0, "b")), complete(&part("two", 1, "c"))]);
    Ok(())
}

async fn parts_are_read_in_the_order_of_their_places(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    let saved = Some(r#"{"result": []}"#.to_owned());
    store.chord_start(&[ChordStart { saved: saved.clone(), ..start("order", 12) }]).await?;
    let last = ChordPart { index: None, ..part("order", 11, "a") };
    for part in [&last, &part("order", 10, "a"), &part("order", 9, "a"), &part("order", 0, "a")] {
        count(store, part).await?;
    }
    let members = [0, 9, 10, 11].map(|index| part("order", index, "").member).to_vec();
    assert_eq!(store.chord_parts("order").await?, ChordParts { saved, members });
    assert_eq!(store.chord_parts("nothing").await?, ChordParts::default());
    Ok(())
}

async fn a_part_that_comes_again_counts_once(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    store.chord_start(&[start("again", 2)]).await?;
    count(store, &part("again", 0, "a")).await?;
    // It has run a second time, and gives something else.
    let second = ChordPart { member: "[1, \"again-0\", \"SUCCESS\", 7]".to_owned(), ..part("again", 0, "b") };
    assert_eq!(count(store, &second).await?, Counted::Yes);
    assert_eq!(store.chord_parts("again").await?.members, [part("again", 0, "").member]);
    Ok(())
}

async fn a_call_that_is_made_again_is_answered_as_before(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    store.chord_start(&[start("repeated", 1)]).await?;
    let only = part("repeated", 0, "a");
    for _ in 0..2 {
        assert_eq!(count(store, &only).await?, Counted::Complete(only.claimed()));
    }
    Ok(())
}

async fn a_later_run_of_the_same_part_takes_its_claim_over(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    store.chord_start(&[start("rerun", 2)]).await?;
    count(store, &part("rerun", 0, "a")).await?;
    let (first, second) = (part("rerun", 1, "a"), part("rerun", 1, "b"));
    assert_eq!(count(store, &first).await?, Counted::Complete(first.claimed()));
    // Another part that comes again has nothing to do with it.
    assert_eq!(count(store, &part("rerun", 0, "b")).await?, Counted::Yes);
    assert_eq!(count(store, &second).await?, Counted::Complete(second.claimed()));
    assert!(!store.chord_extend(&first.claimed(), CLAIM).await?);
    assert!(!store.chord_finish(&first.claimed()).await?);
    assert!(store.chord_finish(&second.claimed()).await?);
    Ok(())
}

async fn a_claim_that_ran_out_is_anybodys(subject: &mut dyn Subject) -> Checked {
    subject.store().chord_start(&[start("late", 2)]).await?;
    count(subject.store(), &part("late", 0, "a")).await?;
    let first = ChordPart { claim: SHORT, ..part("late", 1, "a") };
    assert_eq!(count(subject.store(), &first).await?, Counted::Complete(first.claimed()));
    subject.pass(SHORT).await?;
    let other = part("late", 0, "b");
    assert_eq!(count(subject.store(), &other).await?, Counted::Complete(other.claimed()));
    assert!(!subject.store().chord_finish(&first.claimed()).await?);
    assert!(!subject.store().chord_extend(&first.claimed(), CLAIM).await?);
    assert!(subject.store().chord_finish(&other.claimed()).await?);
    Ok(())
}

async fn a_claim_that_is_extended_lasts(subject: &mut dyn Subject) -> Checked {
    subject.store().chord_start(&[start("extended", 2)]).await?;
    count(subject.store(), &part("extended", 0, "a")).await?;
    let first = ChordPart { claim: SHORT, ..part("extended", 1, "a") };
    count(subject.store(), &first).await?;
    assert!(subject.store().chord_extend(&first.claimed(), CLAIM).await?);
    subject.pass(SHORT).await?;
    assert_eq!(count(subject.store(), &part("extended", 0, "b")).await?, Counted::Yes);
    assert!(subject.store().chord_finish(&first.claimed()).await?);
    Ok(())
}

async fn a_claim_that_nobody_took_can_still_be_used(subject: &mut dyn Subject) -> Checked {
    subject.store().chord_start(&[start("slow", 1)]).await?;
    let only = ChordPart { claim: SHORT, ..part("slow", 0, "a") };
    count(subject.store(), &only).await?;
    subject.pass(SHORT).await?;
    assert!(subject.store().chord_extend(&only.claimed(), SHORT).await?);
    subject.pass(SHORT).await?;
    assert!(subject.store().chord_finish(&only.claimed()).await?);
    Ok(())
}

async fn a_part_that_comes_when_all_is_done_changes_nothing(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    store.chord_start(&[start("done", 1)]).await?;
    let only = part("done", 0, "a");
    count(store, &only).await?;
    assert!(store.chord_finish(&only.claimed()).await?);
    assert!(!store.chord_finish(&only.claimed()).await?);
    assert!(!store.chord_extend(&only.claimed(), CLAIM).await?);
    assert_eq!(count(store, &part("done", 0, "b")).await?, Counted::Yes);
    assert_eq!(store.chord_parts("done").await?, ChordParts::default());
    Ok(())
}

async fn a_chord_that_is_sent_again_is_counted_again(subject: &mut dyn Subject) -> Checked {
    let store = subject.store();
    for run in ["a", "b"] {
        store.chord_start(&[start("reapplied", 1)]).await?;
        let only = part("reapplied", 0, run);
        assert_eq!(count(store, &only).await?, Counted::Complete(only.claimed()));
        assert!(store.chord_finish(&only.claimed()).await?);
    }
    Ok(())
}

async fn a_part_of_no_chord_completes_nothing(subject: &mut dyn Subject) -> Checked {
    assert_eq!(count(subject.store(), &part("stray", 0, "a")).await?, Counted::Yes);
    Ok(())
}
