#![allow(clippy::unwrap_used, reason = "a fixture that cannot be made fails its test")]

use petiole_api::names;
use petiole_broker::Load;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const GRACE: SignedDuration = SignedDuration::from_mins(1);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1000 + second).unwrap()
}

fn pod(name: &str, ready: bool, more: Value) -> Arc<Pod> {
    let ready = if ready { "True" } else { "False" };
    let pod = json!({
        "metadata": { "name": name, "labels": { "pod-template-hash": "a" } },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] },
    });
    Arc::new(serde_json::from_value(crate::fixtures::with(pod, more)).unwrap())
}

fn ready(names: &[&str]) -> Vec<Arc<Pod>> {
    names.iter().map(|name| pod(name, true, json!({}))).collect()
}

fn report(host: &str, held: u64, draining: bool) -> Report {
    let load = Load { held, running: held, running_ms: 10 * held, draining, ..Load::default() };
    Report { incarnation: format!("worker-{host}"), host: host.to_owned(), load, ..Report::default() }
}

/// A pool that is looked at again and again.
struct Pool {
    seen: Seen<'static>,
    known: Known,
}

impl Pool {
    /// So many pods the Deployment wants, and so many are wanted.
    fn new(number: i32, wanted: i32) -> Self {
        let seen = Seen {
            pods: &[],
            reports: None,
            wanted,
            insists: false,
            number: Some(number),
            grace: GRACE,
            now: at(0),
        };
        Self { seen, known: Known::default() }
    }

    fn look(&mut self, pods: &[Arc<Pod>], reports: Option<&[Report]>, second: i64) -> Plan {
        let (plan, known) = plan(&Seen { pods, reports, now: at(second), ..self.seen }, &self.known);
        (self.known, self.seen.number) = (known, Some(plan.replicas));
        plan
    }
}

/// Who is told to drain, and who to work.
fn told(plan: &Plan) -> (Vec<&str>, Vec<&str>) {
    let of = |wish| {
        let told = plan.wishes.iter().filter(move |(_, other)| *other == wish);
        told.map(|(worker, _)| worker.strip_prefix("worker-").unwrap()).collect()
    };
    (of(Wish::Drain), of(Wish::Work))
}

fn going(plan: &Plan) -> Vec<&str> {
    plan.marks.iter().filter(|mark| mark.goes).map(|mark| mark.pod.as_str()).collect()
}

#[test]
fn idle_pods_are_told_to_drain_before_busy_ones_and_those_with_most_to_do_last() {
    let pods = ready(&["a", "b", "c", "d"]);
    let reports =
        [report("a", 2, false), report("b", 0, false), report("c", 9, false), report("d", 1, false)];
    for (wanted, drain) in [(4, vec![]), (3, vec!["b"]), (2, vec!["b", "d"]), (0, vec!["a", "b", "c", "d"])] {
        let plan = Pool::new(4, wanted).look(&pods, Some(&reports), 0);
        assert_eq!((told(&plan).0, plan.replicas), (drain, 4));
        assert_eq!(plan.marks, []);
    }
}

#[test]
fn a_busy_pod_goes_when_it_has_drained_and_is_not_ready() {
    let mut pool = Pool::new(2, 1);
    let pods = ready(&["a", "b"]);
    let busy = [report("a", 1, true), report("b", 3, false)];
    pool.look(&pods, Some(&[report("a", 1, false), report("b", 3, false)]), 0);
    let plan = pool.look(&pods, Some(&busy), 2);
    assert_eq!((plan.replicas, plan.draining, plan.goes_on), (2, 1, true));
    let drained = [report("a", 0, true), report("b", 3, false)];
    assert_eq!(pool.look(&pods, Some(&drained), 30).replicas, 2, "it is ready");
    let unready = [pod("a", false, json!({})), pods[1].clone()];
    let plan = pool.look(&unready, Some(&drained), 31);
    assert_eq!((plan.replicas, going(&plan)), (1, vec!["a"]));
    // The ReplicaSet has not taken it away yet: nobody else goes for it, and it is not called back.
    let plan = pool.look(&unready, Some(&drained), 32);
    assert_eq!((plan.replicas, told(&plan).1), (1, vec![]));
    let plan = pool.look(&pods[1..], Some(&drained), 33);
    assert_eq!((plan.replicas, plan.draining, plan.goes_on), (1, 0, false));
}

#[test]
fn a_drained_pod_that_stays_ready_goes_all_the_same() {
    let mut pool = Pool::new(2, 1);
    let drained = [report("a", 0, true), report("b", 3, false)];
    assert_eq!(pool.look(&ready(&["a", "b"]), Some(&drained), 0).replicas, 2);
    let plan = pool.look(&ready(&["a", "b"]), Some(&drained), 6);
    assert_eq!((plan.replicas, going(&plan)), (1, vec!["a"]));
}

#[test]
fn who_was_chosen_stays_chosen_also_by_another_leader() {
    let pods = ready(&["a", "b"]);
    let mut pool = Pool::new(2, 1);
    pool.look(&pods, Some(&[report("a", 0, false), report("b", 1, false)]), 0);
    // It began one more task before it heard.
    let turned = [report("a", 5, true), report("b", 0, false)];
    for mut pool in [pool, Pool::new(2, 1)] {
        let plan = pool.look(&pods, Some(&turned), 7);
        assert_eq!(told(&plan), (vec!["a"], vec![]));
    }
}

#[test]
fn a_wish_is_said_again_before_it_lapses_and_not_each_second() {
    let mut pool = Pool::new(2, 1);
    let mut wishes = |second| {
        let reports = [report("a", 1, second > 1), report("b", 2, false)];
        told(&pool.look(&ready(&["a", "b"]), Some(&reports), second)).0.len()
    };
    let said: Vec<usize> = (0..12).map(&mut wishes).collect();
    assert_eq!(said, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn workers_are_called_back_when_more_pods_are_wanted_again() {
    let pods = ready(&["a", "b", "c"]);
    let mut pool = Pool::new(3, 1);
    pool.look(&pods, Some(&[report("a", 1, false), report("b", 0, false), report("c", 9, false)]), 0);
    pool.seen.wanted = 2;
    let draining = [report("a", 1, true), report("b", 0, true), report("c", 9, false)];
    let plan = pool.look(&pods, Some(&draining), 1);
    assert_eq!((told(&plan), plan.replicas), ((vec![], vec!["a"]), 3));
    pool.seen.wanted = 5;
    let plan = pool.look(&pods, Some(&draining), 2);
    assert_eq!((told(&plan).1, plan.replicas, plan.draining), (vec!["b", "a"], 5, 0));
    // Until they have heard it.
    let heard = ["a", "b", "c"].map(|pod| report(pod, 1, false));
    assert!(!pool.look(&pods, Some(&heard), 3).goes_on);
}

#[test]
fn a_worker_that_does_not_know_how_to_drain_goes_after_a_while() {
    let mut pool = Pool::new(2, 1);
    let busy = [report("a", 1, false), report("b", 2, false)];
    assert_eq!(pool.look(&ready(&["a", "b"]), Some(&busy), 0).replicas, 2);
    assert_eq!(pool.look(&ready(&["a", "b"]), Some(&busy), 9).replicas, 2);
    let plan = pool.look(&ready(&["a", "b"]), Some(&busy), 10);
    assert_eq!((plan.replicas, going(&plan)), (1, vec!["a"]));
}

#[test]
fn a_drain_lasts_no_longer_than_a_pod_may_take_to_end() {
    let mut pool = Pool::new(2, 1);
    let busy = [report("a", 1, true), report("b", 2, false)];
    for (second, replicas) in [(0, 2), (30, 2), (59, 2), (60, 1)] {
        assert_eq!(pool.look(&ready(&["a", "b"]), Some(&busy), second).replicas, replicas);
    }
}

#[test]
fn pods_that_take_no_tasks_yet_and_pods_that_are_not_there_go_at_once() {
    let starting = pod("b", false, json!({}));
    let pods = [ready(&["a"]), vec![starting]].concat();
    let plan = Pool::new(5, 1).look(&pods, Some(&[report("a", 1, false)]), 0);
    assert_eq!((plan.replicas, going(&plan), plan.draining), (1, vec!["b"], 0));
    // Of a ready pod that has not said anything yet nobody knows.
    let plan = Pool::new(2, 1).look(&ready(&["a", "b"]), Some(&[report("a", 1, false)]), 0);
    assert_eq!((plan.replicas, told(&plan).0), (2, vec!["a"]));
}

#[test]
fn while_the_broker_cannot_be_asked_nobody_goes() {
    let mut pool = Pool::new(2, 1);
    let draining = [report("a", 1, true), report("b", 2, false)];
    pool.look(&ready(&["a", "b"]), Some(&draining), 0);
    for second in 1..100 {
        let plan = pool.look(&ready(&["a", "b"]), None, second);
        assert_eq!((plan.replicas, plan.wishes), (2, vec![]));
    }
    // It has worked again meanwhile: its wish had lapsed. Its time begins anew.
    let working = [report("a", 1, false), report("b", 2, false)];
    let plan = pool.look(&ready(&["a", "b"]), Some(&working), 100);
    assert_eq!((plan.replicas, told(&plan).0), (2, vec!["a"]));
    assert_eq!(pool.look(&ready(&["a", "b"]), Some(&working), 120).replicas, 2);
}

#[test]
fn who_insists_on_fewer_pods_gets_them_though_the_broker_cannot_be_asked() {
    let mut pool = Pool::new(3, 0);
    pool.seen.insists = true;
    let pods = [ready(&["a", "b"]), vec![pod("c", false, json!({}))]].concat();
    let plan = pool.look(&pods, None, 0);
    assert_eq!((plan.replicas, going(&plan)), (2, vec!["c"]));
    for (second, replicas) in [(10, 2), (29, 2), (30, 0)] {
        assert_eq!(pool.look(&pods[..2], None, second).replicas, replicas);
    }
}

#[test]
fn a_deployment_that_is_read_late_is_not_set_back() {
    let mut pool = Pool::new(3, 1);
    let unready = [pod("a", false, json!({})), pod("b", true, json!({})), pod("c", true, json!({}))];
    let reports = [report("a", 0, true), report("b", 1, false), report("c", 1, false)];
    assert_eq!(pool.look(&unready, Some(&reports), 0).replicas, 2);
    pool.seen.number = Some(3);
    assert_eq!(pool.look(&unready, Some(&reports), 0).replicas, 2);
}

#[test]
fn a_pod_more_than_is_wanted_is_no_surplus_while_pods_are_replaced() {
    let new = json!({ "metadata": { "name": "new", "labels": { "pod-template-hash": "b" } } });
    let pods = [ready(&["a", "b"]), vec![pod("new", false, new)]].concat();
    let reports = ["a", "b"].map(|pod| report(pod, 1, false));
    let plan = Pool::new(2, 2).look(&pods, Some(&reports), 0);
    assert_eq!((plan.replicas, plan.wishes, plan.marks), (2, vec![], vec![]));
}

#[test]
fn a_mark_of_an_earlier_time_is_taken_away_and_one_of_the_user_s_is_not() {
    let marked = |name: &str, cost: &str| {
        pod(
            name,
            true,
            json!({ "metadata": {
            "name": name, "annotations": { names::POD_DELETION_COST: cost },
        } }),
        )
    };
    let gone = pod("a", false, json!({ "metadata": { "name": "a" } }));
    let pods = [gone, marked("b", names::GOES_FIRST), marked("c", "7")];
    let reports = [report("a", 0, true), report("b", 3, false), report("c", 4, false)];
    let plan = Pool::new(3, 2).look(&pods, Some(&reports), 0);
    let mark = |pod: &str, goes| Mark { pod: pod.to_owned(), goes };
    assert_eq!(plan.marks, [mark("a", true), mark("b", false)]);
}

#[test]
fn what_ends_already_is_not_chosen() {
    let leaving =
        pod("a", true, json!({ "metadata": { "name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z" } }));
    let ended = pod("b", false, json!({ "status": { "phase": "Failed" } }));
    let pods = [leaving, ended, pod("c", true, json!({}))];
    let plan = Pool::new(1, 0).look(&pods, Some(&[report("c", 9, false)]), 0);
    assert_eq!((told(&plan).0, plan.replicas), (vec!["c"], 1));
}

/// A pod with its worker, as the cluster has them.
#[derive(Debug, Clone)]
struct Real {
    name: String,
    /// So many seconds its task has left.
    busy: i64,
    draining: bool,
    marked: bool,
    /// It is ready until its probe has failed for some seconds.
    drained_for: i64,
}

/// What happens in a second: tasks that begin in pods that take any, how many pods are wanted, and whether the broker
/// answers.
type Second = (Vec<i64>, i32, bool);

/// A Deployment, its pods, and the operator.
struct World {
    pods: Vec<Real>,
    number: i32,
    made: usize,
    known: Known,
}

impl World {
    fn reports(&self) -> Vec<Report> {
        self.pods.iter().map(|pod| report(&pod.name, u64::from(pod.busy > 0), pod.draining)).collect()
    }

    /// A second passes. Gives back those that went while they were busy.
    fn pass(&mut self, (tasks, wanted, answers): &Second, second: i64) -> (Plan, Vec<String>) {
        for (pod, task) in self.pods.iter_mut().zip(tasks.iter().chain(std::iter::repeat(&0))) {
            pod.busy = if pod.busy > 0 {
                pod.busy - 1
            } else if pod.draining {
                0
            } else {
                *task
            };
            pod.drained_for = if pod.draining && pod.busy == 0 { pod.drained_for + 1 } else { 0 };
        }
        let objects: Vec<_> = self
            .pods
            .iter()
            .map(|pod| {
                let cost = if pod.marked { names::GOES_FIRST } else { "0" };
                let meta = json!({ "metadata": {
                    "name": pod.name, "annotations": { names::POD_DELETION_COST: cost },
                } });
                super::tests::pod(&pod.name, pod.drained_for < 3, meta)
            })
            .collect();
        let reports = self.reports();
        let seen = Seen {
            pods: &objects,
            reports: answers.then_some(&reports[..]),
            wanted: *wanted,
            insists: false,
            number: Some(self.number),
            grace: SignedDuration::from_hours(1),
            now: at(second),
        };
        let (plan, known) = plan(&seen, &self.known);
        assert_eq!(plan, super::plan(&seen, &self.known).0, "the same look has the same answer");
        assert!(plan.replicas >= *wanted, "{plan:?}");
        assert!(plan.replicas <= self.number.max(*wanted), "{plan:?}");
        self.known = known;
        for (worker, wish) in &plan.wishes {
            let told = self.pods.iter_mut().find(|pod| format!("worker-{}", pod.name) == *worker);
            told.unwrap().draining = *wish == Wish::Drain;
        }
        for mark in &plan.marks {
            self.pods.iter_mut().find(|pod| pod.name == mark.pod).unwrap().marked = mark.goes;
        }
        self.number = plan.replicas;
        // As the ReplicaSet chooses.
        self.pods.sort_by_key(|pod| (pod.drained_for < 3, !pod.marked));
        let surplus = self.pods.len().saturating_sub(index(self.number));
        let gone: Vec<_> = self.pods.drain(..surplus).collect();
        while self.pods.len() < index(self.number) {
            self.made += 1;
            let name = format!("pod-{}", self.made);
            self.pods.push(Real { name, busy: 0, draining: false, marked: false, drained_for: 0 });
        }
        (plan, gone.into_iter().filter(|pod| pod.busy > 0).map(|pod| pod.name).collect())
    }
}

proptest! {
    #[test]
    fn no_pod_goes_with_a_task_and_in_the_end_there_are_as_many_as_are_wanted(
        number in 0_i32..8,
        seconds in prop::collection::vec((prop::collection::vec(0_i64..9, 8), 0_i32..8, prop::bool::weighted(0.9)), 1..60),
    ) {
        let mut world = World { pods: Vec::new(), number, made: 0, known: Known::default() };
        for (second, happens) in seconds.iter().enumerate() {
            let (_, cut_off) = world.pass(happens, second.try_into().unwrap());
            prop_assert!(cut_off.is_empty(), "{cut_off:?} at {second}");
        }
        let wanted = seconds.last().unwrap().1;
        for second in 60..100 {
            let (_, cut_off) = world.pass(&(vec![3; 8], wanted, true), second);
            prop_assert!(cut_off.is_empty(), "{cut_off:?} at {second}");
        }
        prop_assert_eq!(world.pods.len(), index(wanted));
        prop_assert!(world.pods.iter().all(|pod| !pod.draining), "nobody drains for nothing");
    }

    #[test]
    fn no_busy_pod_is_chosen_before_an_idle_one_and_fewer_wanted_means_no_one_is_spared(
        loads in prop::collection::vec(0_u64..4, 1..12),
        wanted in 0_i32..12,
    ) {
        let names: Vec<String> = (0..loads.len()).map(|at| format!("pod-{at:02}")).collect();
        let pods: Vec<_> = names.iter().map(|name| pod(name, true, json!({}))).collect();
        let reports: Vec<_> = names.iter().zip(&loads).map(|(name, held)| report(name, *held, false)).collect();
        let number = count(pods.len());
        let chosen = |wanted| {
            let plan = Pool::new(number, wanted).look(&pods, Some(&reports), 0);
            let chosen: BTreeSet<String> = told(&plan).0.into_iter().map(str::to_owned).collect();
            chosen
        };
        let some = chosen(wanted);
        prop_assert_eq!(count(some.len()), (number - wanted).max(0));
        let (go, stay): (Vec<_>, Vec<_>) = names.iter().zip(&loads).partition(|(name, _)| some.contains(*name));
        let least = stay.iter().map(|it| *it.1).min();
        prop_assert!(go.iter().all(|it| least.is_none_or(|least| *it.1 <= least)));
        prop_assert!(chosen(wanted).is_subset(&chosen(wanted - 1)));
    }
}
