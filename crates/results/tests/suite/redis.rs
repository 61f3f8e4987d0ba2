//! The Redis store against the conformance suite, and what only a real server can show.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use petiole_results::chord::{CLAIM, ChordPart, ChordStart, Counted};
use petiole_results::conformance::{Subject, exercise};
use petiole_results::redis::{Connection, Endpoint, Identity, Login, RedisStore, Secrets, Timeouts};
use petiole_results::{Precedence, Record, Store, StoreError};
use petiole_testkit::redis::{Sentinel, Server, Settings};
use petiole_testkit::tls::Authority;
use petiole_testkit::wait::until;
use redis::{PushKind, Value, cmd};

const LIMIT: Duration = Duration::from_secs(20);

/// Documents by channel, as Celery's clients hear them.
type Heard = Arc<Mutex<HashMap<String, Vec<String>>>>;

struct Redis {
    store: RedisStore,
    heard: Heard,
    prefix: &'static str,
    /// Hears for as long as it is there.
    ear: Connection,
}

impl Redis {
    async fn connect(endpoint: Endpoint, prefix: &'static str) -> Self {
        let heard = Heard::default();
        let said = heard.clone();
        let ear = Connection::new(endpoint.clone(), Timeouts::default()).with_pushes(Arc::new(move |push| {
            if let (PushKind::PMessage, [_, Value::BulkString(channel), Value::BulkString(document)]) =
                (push.kind, push.data.as_slice())
            {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                said.lock().unwrap().entry(text(channel)).or_default().push(text(document));
            }
        }));
        ear.query::<Value>(cmd("PSUBSCRIBE").arg("*")).await.unwrap();
        Self { store: RedisStore::new(endpoint, Timeouts::default()), heard, prefix, ear }
    }
}

#[async_trait(?Send)]
impl Subject for Redis {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn announced(&mut self, task_id: &str, count: usize) -> Result<Vec<String>, Box<dyn Error>> {
        let channel = format!("{}celery-task-meta-{task_id}", self.prefix);
        let heard = until("announcements", LIMIT, async || {
            let heard = self.heard.lock().unwrap().get(&channel).cloned().unwrap_or_default();
            if heard.len() >= count { Ok(heard) } else { Err(heard) }
        });
        Ok(heard.await?)
    }

    async fn pass(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        let now = async || {
            let (seconds, microseconds): (u64, u32) = self.ear.query(&cmd("TIME")).await.unwrap();
            Duration::new(seconds, microseconds * 1000)
        };
        // What expires in a millisecond is still there in it.
        let end = now().await + time + Duration::from_millis(1);
        until("the time to pass", time + LIMIT, async || match now().await {
            now if now > end => Ok(()),
            now => Err(end.saturating_sub(now)),
        })
        .await?;
        Ok(())
    }
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::parse(&server.url()).unwrap()
}

fn record(task_id: &str) -> Record {
    Record {
        task_id: task_id.to_owned(),
        document: r#"{"status": "FAILURE", "result": null}"#.to_owned(),
        expires: Some(Duration::from_mins(1)),
        precedence: Precedence::Result,
    }
}

async fn ask<T: redis::FromRedisValue>(endpoint: Endpoint, command: &str) -> T {
    let mut words = command.split(' ');
    let mut asked = cmd(words.next().unwrap());
    for word in words {
        asked.arg(word);
    }
    Connection::new(endpoint, Timeouts::default()).query(&asked).await.unwrap()
}

#[tokio::test]
async fn the_store_on_redis_conforms() {
    let server = Server::start().unwrap();
    exercise(&mut Redis::connect(endpoint(&server), "").await).await.unwrap();
}

#[tokio::test]
async fn the_store_conforms_behind_a_prefix_on_another_database() {
    let server = Server::start().unwrap();
    let endpoint = Endpoint::parse(&format!("{}/3", server.url())).unwrap().with_key_prefix("app");
    exercise(&mut Redis::connect(endpoint.clone(), "app_").await).await.unwrap();
    assert!(ask::<u64>(endpoint, "DBSIZE").await > 0);
    assert_eq!(ask::<u64>(Endpoint::parse(&server.url()).unwrap(), "DBSIZE").await, 0);
}

#[tokio::test]
async fn records_are_kept_as_long_as_they_say() {
    let server = Server::start().unwrap();
    let store = RedisStore::new(endpoint(&server), Timeouts::default());
    let forever = Record { expires: None, ..record("b") };
    store.store(&[record("a"), forever]).await.unwrap();
    let kept: i64 = ask(endpoint(&server), "TTL celery-task-meta-a").await;
    assert!((1..=60).contains(&kept), "{kept}");
    assert_eq!(ask::<i64>(endpoint(&server), "TTL celery-task-meta-b").await, -1);
}

fn part(task_id: &str, index: Option<u64>) -> ChordPart {
    ChordPart {
        group: "g".to_owned(),
        task_id: task_id.to_owned(),
        index,
        adds: Vec::new(),
        member: format!("[1, \"{task_id}\", \"SUCCESS\", 3]"),
        expires: Some(Duration::from_mins(1)),
        claim: CLAIM,
        token: "run".to_owned(),
    }
}

#[tokio::test]
async fn a_chord_stands_on_celerys_keys() {
    let server = Server::start().unwrap();
    let endpoint = endpoint(&server);
    let store = RedisStore::new(endpoint.clone(), Timeouts::default());
    let saved = Some("{\"result\":null}".to_owned());
    let start = ChordStart { group: "g".to_owned(), size: 2, saved, expires: Some(Duration::from_mins(1)) };
    store.chord_start(&[start]).await.unwrap();
    let parts = [part("a", Some(0)), part("b", None)];
    let counted = store.chord_part(&parts).await.unwrap();
    assert_eq!(counted, [Counted::Yes, Counted::Complete(parts[1].claimed())]);
    let key = |suffix: &str| format!("celery-taskset-meta-g{suffix}");
    let said = async |command: String| ask::<Vec<String>>(endpoint.clone(), &command).await;
    assert_eq!(ask::<String>(endpoint.clone(), &format!("GET {}", key(".s"))).await, "2");
    assert_eq!(ask::<String>(endpoint.clone(), &format!("GET {}", key(""))).await, "{\"result\":null}");
    let zset = said(format!("ZRANGE {} 0 -1 WITHSCORES", key(".j"))).await;
    assert_eq!(zset, [parts[0].member.as_str(), "0", parts[1].member.as_str(), "inf"]);
    let mut names = said(format!("SMEMBERS {}", key(".d"))).await;
    names.sort();
    assert_eq!(names, ["a:0", "b:+inf"]);
    for suffix in ["", ".s", ".j", ".d", ".c"] {
        let kept: i64 = ask(endpoint.clone(), &format!("TTL {}", key(suffix))).await;
        assert!((1..=60).contains(&kept), "{suffix}: {kept}");
    }
    assert!(store.chord_finish(&parts[1].claimed()).await.unwrap());
    let mut left = said("KEYS celery-taskset-meta-*".to_owned()).await;
    left.sort();
    assert_eq!(left, [key(""), key(".c")]);
    assert_eq!(ask::<String>(endpoint.clone(), &format!("GET {}", key(".c"))).await, "done");
}

#[tokio::test]
async fn parts_that_a_task_adds_are_waited_for() {
    let server = Server::start().unwrap();
    let store = RedisStore::new(endpoint(&server), Timeouts::default());
    let start = ChordStart { group: "g".to_owned(), size: 1, saved: None, expires: None };
    store.chord_start(&[start]).await.unwrap();
    let _: u64 = ask(endpoint(&server), "INCR celery-taskset-meta-g.t").await;
    let parts = [part("a", Some(0)), part("b", Some(1))];
    let counted = store.chord_part(&parts).await.unwrap();
    assert_eq!(counted, [Counted::Yes, Counted::Complete(parts[1].claimed())]);
}

#[tokio::test]
async fn a_claim_of_a_celery_worker_is_left_to_it_until_it_runs_out() {
    let server = Server::start().unwrap();
    let mut subject = Redis::connect(endpoint(&server), "").await;
    let start = ChordStart { group: "g".to_owned(), size: 1, saved: None, expires: None };
    subject.store.chord_start(&[start]).await.unwrap();
    let claim = "SET celery-taskset-meta-g.c 0123456789abcdef0123456789abcdef PX 2000";
    let _: String = ask(endpoint(&server), claim).await;
    let only = part("a", Some(0));
    assert_eq!(subject.store.chord_part(std::slice::from_ref(&only)).await.unwrap(), [Counted::Yes]);
    subject.pass(Duration::from_secs(2)).await.unwrap();
    let counted = subject.store.chord_part(std::slice::from_ref(&only)).await.unwrap();
    assert_eq!(counted, [Counted::Complete(only.claimed())]);
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_told_and_left_alone() {
    let server = Server::start().unwrap();
    let store = RedisStore::new(endpoint(&server), Timeouts::default());
    let _: u64 = ask(endpoint(&server), "LPUSH celery-taskset-meta-g.j x").await;
    assert_eq!(store.chord_part(&[part("a", Some(0))]).await.unwrap(), [Counted::WrongKey]);
    assert_eq!(ask::<u64>(endpoint(&server), "DBSIZE").await, 1);
}

#[tokio::test]
async fn a_large_batch_is_stored_whole() {
    let server = Server::start().unwrap();
    let store = RedisStore::new(endpoint(&server), Timeouts::default());
    let records: Vec<_> = (0..1000).map(|number| record(&number.to_string())).collect();
    store.store(&records).await.unwrap();
    assert_eq!(ask::<usize>(endpoint(&server), "DBSIZE").await, records.len());
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_told_them_again() {
    let server = Server::start().unwrap();
    let store = RedisStore::new(endpoint(&server), Timeouts::default());
    store.store(&[record("a")]).await.unwrap();
    let _: String = ask(endpoint(&server), "SCRIPT FLUSH").await;
    store.store(&[record("b")]).await.unwrap();
    assert!(store.load("b").await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let mut server = Settings::default().append_only().start().unwrap();
    let store = RedisStore::new(endpoint(&server), Timeouts::default());
    store.store(&[record("a")]).await.unwrap();
    server.kill().unwrap();
    assert!(matches!(store.load("a").await, Err(StoreError::Unreachable { .. })));
    server.start_again().unwrap();
    until("the record", LIMIT, async || store.load("a").await).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_and_found_again() {
    let server = Server::start().unwrap();
    let timeouts = Timeouts { connect: Duration::from_millis(200), answer: Duration::from_millis(200) };
    let store = RedisStore::new(endpoint(&server), timeouts);
    store.ping().await.unwrap();
    server.pause().unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unreachable { .. })));
    assert!(matches!(store.ping().await, Err(StoreError::Unreachable { .. })));
    server.resume().unwrap();
    until("an answer", LIMIT, async || store.ping().await).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_and_a_new_one_is_read() {
    let server = Settings::default().password("old").start().unwrap();
    let password = Arc::new(Mutex::new("wrong".to_owned()));
    let read = password.clone();
    let endpoint = endpoint(&server).with_secrets(Arc::new(move || {
        let login = Login { username: None, password: Some(read.lock().unwrap().clone()) };
        Ok(Secrets { login, ..Secrets::default() })
    }));
    let store = RedisStore::new(endpoint.clone(), Timeouts::default());
    assert!(matches!(store.ping().await, Err(StoreError::Refused { .. })));
    "old".clone_into(&mut password.lock().unwrap());
    store.ping().await.unwrap();

    // The server's password is changed; what is connected stays so until it is cut off.
    let _: String = ask(endpoint.clone(), "CONFIG SET requirepass new").await;
    store.ping().await.unwrap();
    "new".clone_into(&mut password.lock().unwrap());
    let _: u64 = ask(endpoint, "CLIENT KILL TYPE normal SKIPME yes").await;
    until("the new login", LIMIT, async || store.ping().await).await.unwrap();
}

#[tokio::test]
async fn a_user_logs_in_by_name() {
    let server = Settings::default()
        .password("root")
        .user("worker", "on >secret ~celery-task-meta-* resetchannels &celery-task-meta-* +@all -@admin")
        .start()
        .unwrap();
    let address = server.url().replace("redis://", "redis://worker:secret@");
    let store = RedisStore::new(Endpoint::parse(&address).unwrap(), Timeouts::default());
    store.store(&[record("a")]).await.unwrap();
    assert!(store.load("a").await.unwrap().is_some());
}

#[tokio::test]
async fn tls_is_spoken_with_a_private_authority_and_a_client_certificate() {
    let authority = Authority::new().unwrap();
    let server = Settings::default().tls(&authority, true).unwrap().start().unwrap();
    let (certificate, key) = authority.sign("client").unwrap().pem().unwrap();
    let secrets = Secrets {
        login: Login::default(),
        authorities: Some(authority.pem()),
        identity: Some(Identity { certificate, key }),
    };
    let known = endpoint(&server).with_secrets(Arc::new(move || Ok(secrets.clone())));
    RedisStore::new(known, Timeouts::default()).ping().await.unwrap();

    let stranger = Secrets { authorities: Some(Authority::new().unwrap().pem()), ..Secrets::default() };
    let distrusting = endpoint(&server).with_secrets(Arc::new(move || Ok(stranger.clone())));
    assert!(RedisStore::new(distrusting, Timeouts::default()).ping().await.is_err());
    assert!(RedisStore::new(endpoint(&server), Timeouts::default()).ping().await.is_err());
}

#[tokio::test]
async fn a_unix_socket_is_spoken_to() {
    let server = Server::start().unwrap();
    let address = format!("redis+socket://{}?virtual_host=2", server.socket().display());
    let endpoint = Endpoint::parse(&address).unwrap();
    RedisStore::new(endpoint.clone(), Timeouts::default()).store(&[record("a")]).await.unwrap();
    assert_eq!(ask::<u64>(endpoint, "DBSIZE").await, 1);
}

#[tokio::test]
async fn sentinels_speak_tls_as_their_master_does() {
    let authority = Authority::new().unwrap();
    let master = Settings::default().tls(&authority, false).unwrap().start().unwrap();
    let sentinel = Sentinel::start(&master).unwrap();
    let secrets = Secrets { authorities: Some(authority.pem()), ..Secrets::default() };
    let endpoint = Endpoint::parse(&sentinel.url())
        .and_then(|endpoint| endpoint.with_sentinel_master(sentinel.master_name()))
        .unwrap()
        .with_secrets(Arc::new(move || Ok(secrets.clone())));
    RedisStore::new(endpoint, Timeouts::default()).ping().await.unwrap();
}

#[tokio::test]
async fn a_sentinel_is_asked_for_the_master_again_after_a_fail_over() {
    let mut master = Settings::default().password("secret").start().unwrap();
    let replica = Settings::default().password("secret").replica_of(&master).start().unwrap();
    let sentinel = Sentinel::start(&master).unwrap();
    let endpoint = Endpoint::parse(&sentinel.url().replace("://", "://:secret@"))
        .unwrap()
        .with_sentinel_master(sentinel.master_name())
        .unwrap();
    let store = RedisStore::new(endpoint, Timeouts::default());
    store.store(&[record("a")]).await.unwrap();
    let direct = Endpoint::parse(&replica.url().replace("://", "://:secret@")).unwrap();
    until("the copy", LIMIT, async || match ask::<u64>(direct.clone(), "DBSIZE").await {
        1 => Ok(()),
        size => Err(size),
    })
    .await
    .unwrap();
    master.kill().unwrap();
    until("the new master", LIMIT * 2, async || store.store(&[record("b")]).await).await.unwrap();
    assert!(store.load("a").await.unwrap().is_some());
}
