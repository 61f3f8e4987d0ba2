//! What is printed: tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

use clap::ValueEnum;
use petiole_broker::dead_letter::{DeadLetter, Fate};
use serde_json::json;

/// How something is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Letters that were looked for.
#[derive(Debug)]
pub struct Listed {
    /// The dead-letter queue.
    pub queue: String,
    /// How many it has, wanted or not.
    pub total: usize,
    /// There are more that are wanted.
    pub more: bool,
    /// The oldest that are wanted.
    pub letters: Vec<DeadLetter>,
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// For programs.
    name: &'static str,
    /// For people.
    words: &'static str,
    count: usize,
}

impl Done {
    /// So many letters went this way.
    pub fn of(fate: Fate, count: usize) -> Self {
        let (name, words) = match fate {
            Fate::PutBack => ("retried", "put back"),
            Fate::Dropped => ("dropped", "dropped"),
        };
        Self { name, words, count }
    }
}

const HEAD: [&str; 5] = ["GIVEN UP", "LOST", "TASK", "ID", "REASON"];

/// Prints letters.
pub fn listed(listed: &Listed, format: Format) -> io::Result<()> {
    let text = match format {
        Format::Json => as_json(listed),
        Format::Table if listed.letters.is_empty() => {
            format!("No such message in {} (of {} there).\n", plain(&listed.queue), listed.total)
        }
        Format::Table => as_table(listed),
    };
    print(&text)
}

/// Prints what was done.
pub fn done(done: &Done, format: Format) -> io::Result<()> {
    let Done { name, words, count } = done;
    print(&match format {
        Format::Json => format!("{:#}\n", json!({ *name: count })),
        Format::Table if *count == 1 => format!("1 message was {words}.\n"),
        Format::Table => format!("{count} messages were {words}.\n"),
    })
}

/// Whoever reads may stop reading.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn as_json(Listed { queue, total, more, letters }: &Listed) -> String {
    let letter = |letter: &DeadLetter| {
        json!({
            "id": letter.id,
            "task": letter.task,
            "reason": letter.reason(),
            "queue": letter.queue(),
            "at": letter.at(),
            "deliveries": letter.deliveries,
            "history": letter.history,
        })
    };
    let letters: Vec<_> = letters.iter().map(letter).collect();
    format!("{:#}\n", json!({ "deadLetterQueue": queue, "total": total, "more": more, "letters": letters }))
}

fn as_table(listed: &Listed) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(listed.letters.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEAD.len() - 1).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a string does not fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        text.push_str(&row[HEAD.len() - 1]);
        text.push('\n');
    }
    if listed.more {
        let _ = writeln!(text, "There are more: {} in {}.", listed.total, plain(&listed.queue));
    }
    text
}

fn row(letter: &DeadLetter) -> [String; 5] {
    let text = |text: Option<&str>| text.map_or_else(|| "?".to_owned(), plain);
    [
        letter.at().map_or_else(|| "?".to_owned(), |at| format!("{at:.0}")),
        letter.deliveries.to_string(),
        text(letter.task.as_deref()),
        text(letter.id.as_deref()),
        text(letter.reason()),
    ]
}

/// A text of somebody's, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
