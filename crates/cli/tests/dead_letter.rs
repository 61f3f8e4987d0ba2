//! `petiole dead-letter` against a real Redis.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what helps a test fails as a test does")]

use std::process::{Command, Output};

use petiole_broker::conformance::message;
use petiole_results::redis::{Connection, Endpoint, Timeouts};
use petiole_testkit::redis::Server;
use redis::{FromRedisValue, cmd};
use serde_json::Value;

struct Redis {
    server: Server,
    connection: Connection,
}

impl Redis {
    /// A server whose queue `mail` has given up the tasks 1 and 2, and `print` the task 3; 4 came from elsewhere.
    async fn start() -> Self {
        let server = Server::start().unwrap();
        let connection = Connection::new(Endpoint::parse(&server.url()).unwrap(), Timeouts::default());
        let redis = Self { server, connection };
        for (id, from) in [("1", "mail"), ("2", "mail"), ("3", "print")] {
            redis.push(&letter(id, from)).await;
        }
        redis.push(&message("4", 0)).await;
        redis
    }

    async fn push(&self, raw: &str) {
        let _: u64 = self.ask(&["LPUSH", "dead", raw]).await;
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        self.connection.query(&command).await.unwrap()
    }

    async fn length(&self, list: &str) -> u64 {
        self.ask(&["LLEN", list]).await
    }

    fn run(&self, words: &[&str]) -> Output {
        let place = ["--broker", &self.server.url(), "--queue", "mail", "--dead-letter-queue", "dead"];
        Command::new(env!("CARGO_BIN_EXE_petiole"))
            .arg("dead-letter")
            .args(words)
            .args(place)
            .output()
            .unwrap()
    }
}

fn letter(id: &str, from: &str) -> String {
    let why = format!(
        r#"{{"reason": "TooManyDeliveries: \u001b[31mwhy", "queue": "{from}", "at": "2026-11-21T10:00:00.5Z", "step": 0}}"#
    );
    let headers = format!("\"headers\": {{\"petiole-deliveries\": 3, \"petiole-dead-letter\": {why}, ");
    message(id, 0).replace("\"headers\": {", &headers)
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn fails(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
}

#[tokio::test]
async fn letters_are_listed_for_people_and_for_programs() {
    let redis = Redis::start().await;
    let table = text(&redis.run(&["list", "--limit", "2"]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("GIVEN UP"), "{table}");
    assert_eq!(
        lines[1], "2026-11-21T10:00:00Z  3     tasks.add  1   TooManyDeliveries: \u{fffd}[31mwhy",
        "{table}"
    );
    assert!(lines[3].starts_with("There are more: 4 in dead"), "{table}");

    let json: Value = serde_json::from_str(&text(&redis.run(&["list", "-o", "json"]))).unwrap();
    let ids: Vec<_> = json["letters"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    // What does not say where it came from may have come from here; what came from `print` did not.
    assert_eq!(ids, ["1", "2", "4"]);
    let first = &json["letters"][0];
    assert_eq!((&first["deliveries"], &first["queue"]), (&3.into(), &"mail".into()));
    assert_eq!((&json["total"], &json["more"]), (&4.into(), &false.into()));
    assert!(text(&redis.run(&["list", "--task", "tasks.mul"])).starts_with("No such message in dead"));
    assert_eq!(redis.length("dead").await, 4);
}

#[tokio::test]
async fn letters_are_put_back_by_id_by_task_and_all() {
    let redis = Redis::start().await;
    assert_eq!(text(&redis.run(&["retry", "--id", "2"])), "1 message was put back.\n");
    assert_eq!(redis.ask::<Vec<String>>(&["LRANGE", "mail", "0", "-1"]).await, [message("2", 0)]);
    fails(&redis.run(&["retry", "--id", "2"]), 1, "has no message with the id 2");
    // 4 does not say where it came from.
    let all = redis.run(&["retry", "--all"]);
    fails(&all, 1, "the dead-letter queue dead keeps 1 of them");
    assert_eq!(String::from_utf8_lossy(&all.stdout), "1 message was put back.\n");
    assert_eq!((redis.length("mail").await, redis.length("dead").await), (2, 2));
    let dropped = text(&redis.run(&["drop", "--task", "tasks.add", "-o", "json"]));
    assert_eq!(serde_json::from_str::<Value>(&dropped).unwrap()["dropped"], 1);
    assert_eq!(redis.length("dead").await, 1, "that of `print` stays");
    assert_eq!(text(&redis.run(&["retry", "--all"])), "0 messages were put back.\n");
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let mut redis = Redis::start().await;
    fails(&redis.run(&["retry"]), 2, "--id <ID>|--task <NAME>|--all");
    fails(&redis.run(&["drop", "--all", "--id", "1"]), 2, "cannot be used with");
    redis.server.kill().unwrap();
    fails(&redis.run(&["list"]), 1, "failed to reach the dead-letter queue dead");
}
