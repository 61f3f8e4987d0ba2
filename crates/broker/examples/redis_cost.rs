//! What a task costs the Redis server: received, settled with its record, by batches of several sizes; and with a
//! note of the attempts that have begun, for each batch one.
//!
//! ```text
//! cargo run --release -p petiole-broker --example redis_cost
//! ```
//!
//! Prints the server's own CPU time (`INFO cpu`) per task, without what publishing costs, and the tasks per second
//! that this one client has moved.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use petiole_broker::conformance::{Member, message, queue, record, settlement};
use petiole_broker::redis::{Config, Endpoint, RedisConsumer, RedisLease, Timeouts};
use petiole_broker::{Disposition, Worker};
use petiole_results::redis::Connection;
use petiole_testkit::redis::Server;

/// Enough for a second or so at each size, since the server counts its CPU time in small steps.
const TASKS: u32 = 100_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    for (batch, marks) in [1, 4, 16, 64, 128].into_iter().flat_map(|batch| [(batch, false), (batch, true)]) {
        // A new server each time: one that has more keys than another is slower.
        let server = Server::start()?;
        let endpoint = Endpoint::parse(&server.url())?;
        let admin = Connection::new(endpoint.clone(), Timeouts::default());
        let tasks = if batch == 1 { TASKS / 5 } else { TASKS };
        fill(&admin, tasks).await?;
        let worker =
            Worker { incarnation: format!("w{batch}"), queues: vec![queue("mail")], ..Worker::default() };
        let config = Config { results: Some(endpoint.clone()), ..Config::new(endpoint.clone(), worker) };
        let lease = Arc::new(RedisLease::register(config.clone()).await?);
        let consumer = Arc::new(RedisConsumer::connect(config).await?);
        let member = Member {
            consumer: consumer.clone(),
            attempts: consumer.clone(),
            parking: consumer.clone(),
            rates: consumer,
            lease,
        };
        let (before, start) = (cpu(&admin).await?, Instant::now());
        let done = work(&member, batch, marks).await?;
        let (used, time) = (cpu(&admin).await? - before, start.elapsed());
        assert_eq!(done, tasks as usize, "every task is received once");
        println!(
            "batch {batch:>3}{}: {:>6.1} us of Redis per task, {:>7.0} tasks/s",
            if marks { ", starts noted" } else { "               " },
            used * 1e6 / f64::from(tasks),
            f64::from(tasks) / time.as_secs_f64()
        );
        member.lease.release().await?;
    }
    Ok(())
}

/// Receives and settles until nothing is left: two loops, so that Redis is not idle while we think.
async fn work(member: &Member, batch: usize, marks: bool) -> Outcome<usize> {
    let one = drain(member, batch, marks);
    let other = drain(member, batch, marks);
    let (one, other) = tokio::try_join!(one, other)?;
    Ok(one + other)
}

async fn drain(member: &Member, batch: usize, marks: bool) -> Outcome<usize> {
    let Member { consumer, attempts, lease, .. } = member;
    let (mut done, mut beat) = (0, Instant::now());
    loop {
        let taken = consumer.receive(batch).await?;
        if taken.is_empty() {
            return Ok(done);
        }
        if marks {
            attempts.started(&taken.iter().map(|delivery| delivery.tag).collect::<Vec<_>>()).await?;
        }
        let id = |envelope: &petiole_protocol::envelope::Envelope| envelope.properties.correlation_id.clone();
        let settle: Vec<_> = taken
            .iter()
            .map(|delivery| {
                let id = delivery.envelope.as_ref().ok().and_then(id);
                settlement(delivery, Disposition::Ack).with_records(id.map(|id| record(&id)))
            })
            .collect();
        done += consumer.settle(&settle).await?.len();
        if beat.elapsed() > Duration::from_secs(2) {
            beat = Instant::now();
            lease.beat().await?;
        }
    }
}

/// Fills the queue with messages of the size that `add.delay(1, 2)` has.
async fn fill(admin: &Connection, tasks: u32) -> Outcome<()> {
    let mut id = 0;
    while id < tasks {
        let mut push = redis::cmd("LPUSH");
        push.arg("mail");
        for _ in 0..1000.min(tasks - id) {
            let padding = "x".repeat(450);
            push.arg(
                message(&format!("{id:08}-9794-475b-b662-7ea7e6a66dae"), 0).replace("tasks.add", &padding),
            );
            id += 1;
        }
        let _: u64 = admin.query(&push).await?;
    }
    Ok(())
}

/// The CPU time that the server has used, in seconds.
async fn cpu(admin: &Connection) -> Outcome<f64> {
    let mut ask = redis::cmd("INFO");
    ask.arg("cpu");
    let text: String = admin.query(&ask).await?;
    let seconds = ["used_cpu_user:", "used_cpu_sys:"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    });
    Ok(seconds.iter().sum())
}
