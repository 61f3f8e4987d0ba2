//! Checks: dead-letter queues.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::sync::Arc;

use super::{Checked, MANY, Member, Subject, ids, ids_of, message, publish, queue, settlement, tags, worker};
use crate::dead_letter::{DeadLetter, DeadLetters, Fate, MOST_LETTERS, Page, Taken, take_all};
use crate::{Disposition, lost};

const DEAD: &str = "mail.dead";

/// Gives up all that waits.
async fn give_up(worker: &Member, why: &str) -> Checked {
    loop {
        let taken = worker.consumer.receive(MANY).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let reason = || Disposition::DeadLetter(why.to_owned());
        let batch: Vec<_> = taken.iter().map(|delivery| settlement(delivery, reason())).collect();
        worker.consumer.settle(&batch).await?;
    }
}

fn names(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.id.as_deref().unwrap_or("?")).collect()
}

pub async fn letters_are_listed_by_pages_the_oldest_first(subject: &dyn Subject) -> Checked {
    let (a, dead) = (worker(subject, "a").await?, subject.dead_letters());
    assert_eq!(dead.page(DEAD, 0, MANY).await?, Page::default());
    for id in ["1", "2", "3", "4", "5"] {
        publish(subject, &[id]).await?;
        give_up(&a, "Odd: for this check").await?;
    }
    for (offset, limit, expected) in [
        (0, MANY, &["1", "2", "3", "4", "5"][..]),
        (1, 2, &["2", "3"]),
        (4, 3, &["5"]),
        (5, 3, &[]),
        (9, 1, &[]),
    ] {
        let page = dead.page(DEAD, offset, limit).await?;
        assert_eq!((page.total, names(&page.letters)), (5, expected.to_vec()));
    }
    let first = &dead.page(DEAD, 0, 1).await?.letters[0];
    assert_eq!((first.reason(), first.queue()), (Some("Odd: for this check"), Some("mail")));
    assert_eq!(first.task.as_deref(), Some("tasks.add"));
    assert!(first.at().is_some());
    Ok(())
}

pub async fn a_letter_that_is_put_back_is_as_it_was_and_behind_the_others(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    subject.publish(&queue("mail"), &message("1", 5)).await?;
    a.attempts.started(&tags(&a.consumer.receive(MANY).await?)).await?;
    subject.inspector().end("a").await?;
    give_up(&b, "why").await?;
    let letter = subject.dead_letters().page(DEAD, 0, 1).await?.letters.remove(0);
    assert_eq!((letter.deliveries, letter.history.len()), (1, 1));
    subject.publish(&queue("mail"), &message("2", 5)).await?;
    let back = take_all(&*subject.dead_letters(), DEAD, &|_| true, Fate::PutBack).await?;
    assert_eq!(back, Taken { taken: 1, stuck: 0 });
    assert!(subject.waiting(DEAD, 0).await?.is_empty());
    assert_eq!(ids_of(&subject.waiting("mail", 3).await?), ["2", "1"]);
    let again = b.consumer.receive(MANY).await?;
    let envelope = again[1].envelope.as_ref().map_err(Clone::clone)?;
    let names: Vec<_> = envelope.headers.members().into_iter().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["task", "id", "redelivered"]);
    assert_eq!(lost::deliveries(&envelope.headers), 0);
    Ok(())
}

pub async fn letters_are_chosen(subject: &dyn Subject) -> Checked {
    let (a, dead) = (worker(subject, "a").await?, subject.dead_letters());
    for (id, task) in [("1", "tasks.add"), ("2", "tasks.mul"), ("3", "tasks.add"), ("4", "tasks.mul")] {
        subject.publish(&queue("mail"), &message(id, 0).replace("tasks.add", task)).await?;
    }
    give_up(&a, "why").await?;
    let of = |name: &'static str| move |letter: &DeadLetter| letter.task.as_deref() == Some(name);
    let back = take_all(&*dead, DEAD, &of("tasks.mul"), Fate::PutBack).await?;
    assert_eq!(back, Taken { taken: 2, stuck: 0 });
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["2", "4"]);
    let gone = take_all(&*dead, DEAD, &|letter| letter.id.as_deref() == Some("3"), Fate::Dropped).await?;
    assert_eq!(gone, Taken { taken: 1, stuck: 0 });
    assert_eq!(ids_of(&subject.waiting(DEAD, 0).await?), ["1"]);
    assert_eq!(take_all(&*dead, DEAD, &of("tasks.div"), Fate::PutBack).await?, Taken::default());
    Ok(())
}

pub async fn more_letters_than_a_page_has_go_back_in_their_order(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    let all: Vec<String> = (0..MOST_LETTERS + 20).map(|id| format!("{id:03}")).collect();
    for id in &all {
        publish(subject, &[id]).await?;
    }
    give_up(&a, "why").await?;
    let dead = subject.dead_letters();
    let back = take_all(&*dead, DEAD, &|letter| letter.id.as_deref() != Some("001"), Fate::PutBack).await?;
    assert_eq!(back, Taken { taken: all.len() - 1, stuck: 0 });
    let expected: Vec<_> = all.into_iter().filter(|id| id != "001").collect();
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), expected);
    assert_eq!(ids_of(&subject.waiting(DEAD, 0).await?), ["001"]);
    Ok(())
}

pub async fn a_letter_is_taken_once(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    give_up(&a, "why").await?;
    let dead: Arc<dyn DeadLetters> = subject.dead_letters();
    let letters = dead.page(DEAD, 0, MANY).await?.letters;
    let (one, other) =
        tokio::join!(dead.take(DEAD, &letters, Fate::PutBack), dead.take(DEAD, &letters, Fate::PutBack),);
    assert_eq!(one? + other?, 1);
    assert_eq!(dead.take(DEAD, &letters, Fate::Dropped).await?, 0);
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["1"]);
    Ok(())
}

pub async fn a_letter_that_does_not_say_where_it_came_from_stays_until_it_is_dropped(
    subject: &dyn Subject,
) -> Checked {
    let (a, dead) = (worker(subject, "a").await?, subject.dead_letters());
    subject.publish(&queue(DEAD), &message("1", 0)).await?;
    publish(subject, &["2"]).await?;
    give_up(&a, "why").await?;
    let back = take_all(&*dead, DEAD, &|_| true, Fate::PutBack).await?;
    assert_eq!(back, Taken { taken: 1, stuck: 1 });
    assert_eq!(ids_of(&subject.waiting(DEAD, 0).await?), ["1"]);
    let gone = take_all(&*dead, DEAD, &|_| true, Fate::Dropped).await?;
    assert_eq!(gone, Taken { taken: 1, stuck: 0 });
    assert!(subject.waiting(DEAD, 0).await?.is_empty());
    Ok(())
}
