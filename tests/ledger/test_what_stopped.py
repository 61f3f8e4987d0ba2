"""Of hand-made stories it is known what is to be found in them."""

from journal import parse
from stopping import Stop, busy, busy_before_idle, interrupted, stops

#: Pod 1 runs a for all of the time; pod 2 ran b long ago; pod 3 has only just ended c.
STORY = """start 1 a a1 pod-1
alive 20 a a1
start 1 b b1 pod-2
end 2 b b1
start 1 c c1 pod-3
end 9.5 c c1
"""


def stop(pod: str, staying: set[str], at: float = 10.0) -> Stop:
    return Stop(at, pod, frozenset(staying))


def test_a_busy_pod_that_goes_before_an_idle_one_is_told() -> None:
    assert busy_before_idle([stop("pod-1", {"pod-2"})], parse(STORY)) == ["pod-1 ran a task, and pod-2 ran none"]
    assert busy_before_idle([stop("pod-1", {"pod-new"})], parse(STORY)) == ["pod-1 ran a task, and pod-new ran none"]


def test_an_idle_pod_may_go_and_a_busy_one_where_none_is_idle() -> None:
    assert busy_before_idle([stop("pod-2", {"pod-1"})], parse(STORY)) == []
    assert busy_before_idle([stop("pod-1", set())], parse(STORY)) == []


def test_what_has_only_just_changed_may_not_be_known() -> None:
    assert busy_before_idle([stop("pod-1", {"pod-3"})], parse(STORY)) == []
    assert busy_before_idle([stop("pod-1", {"pod-2"}, at=3.0)], parse(STORY)) == []


def test_the_busy_are_counted_and_what_was_cut_off_is_told() -> None:
    stops = [stop("pod-1", set()), stop("pod-2", set()), stop("pod-3", set(), at=5.0)]
    assert busy(stops, parse(STORY)) == 2
    assert interrupted(parse(STORY)) == ["a in pod-1"]


def test_who_stays_was_ready_and_is_not_told_to_stop_by_the_same_decision() -> None:
    ready = {"pod-1": 1.0, "pod-2": 1.0, "pod-3": 1.0, "pod-late": 9.0}
    found = stops(ready, {"pod-1": 5.0, "pod-2": 5.1})
    assert [(one.pod, one.staying) for one in found] == [("pod-1", {"pod-3"}), ("pod-2", {"pod-3"})]
