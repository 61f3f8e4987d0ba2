"""The judge of the ledgers finds what is wrong when something is."""

from typing import Any

import pytest
from appended import Taker
from journal import parse
from observing import Snapshot, Write
from verdict import Kill, Pause, Seen, judge


def seen(journal: str, tokens: dict[str, str], **more: Any) -> Seen:
    records = {task: Write(100.0, task, "SUCCESS", token) for task, token in tokens.items()}
    return Seen({"a", "b"}, records, parse(journal), **more)


QUIET = "start 1 a a1 7\nend 2 a a1\nstart 1 b b1 8\nend 2 b b1\n"


def test_a_quiet_run_is_complete_and_ran_each_task_once() -> None:
    verdict = judge(seen(QUIET, {"a": "a1", "b": "b1"}))
    assert (verdict.submitted, verdict.completed, verdict.lost, verdict.twice) == (2, 2, 0, 0)
    assert (verdict.stale, verdict.beside, verdict.failed, verdict.reruns) == ([], [], {}, 0)


def test_a_task_without_a_record_is_lost() -> None:
    assert judge(seen(QUIET, {"a": "a1"})).lost == 1


def test_a_record_of_an_attempt_before_the_last_is_stale() -> None:
    journal = "start 1 a a1 7\nend 2 a a1\nstart 9 a a2 8\nend 10 a a2\n"
    assert judge(seen(journal, {"a": "a2"})).stale == []
    assert len(judge(seen(journal, {"a": "a1"})).stale) == 1


def test_a_second_result_of_one_task_is_stale() -> None:
    write = Write(3.0, "a", "FAILURE", None)
    assert len(judge(seen(QUIET, {"a": "a1"}, writes=[write, write])).stale) == 1
    assert judge(seen(QUIET, {"a": "a1"}, writes=[write])).stale == []


def test_a_sign_of_life_after_the_successor_s_start_is_beside() -> None:
    journal = "start 1 a a1 7\nalive 8.9 a a1\nstart 9 a a2 8\nend 10 a a2\n"
    assert judge(seen(journal, {})).beside == []
    assert len(judge(seen(journal + "alive 9.1 a a1\n", {})).beside) == 1


def test_the_rerun_of_a_task_that_was_started_counts_from_the_kill() -> None:
    held = Snapshot(2.0, {"petiole:w7:1": "a"})
    journal = "start 1 a a1 7\nalive 2 a a1\nstart 9 a a2 8\nend 10 a a2\n"
    verdict = judge(seen(journal, {}, kills=[Kill(2.0, "7", held)], snapshots=[held]))
    assert (verdict.twice, verdict.reruns, verdict.rerun_max) == (1, 1, 7.0)


def test_the_first_run_of_a_task_that_was_only_held_counts_too() -> None:
    held = Snapshot(2.0, {"petiole:w7:1": "a", "petiole:w7:2": "b", "petiole:w8:1": "c"})
    journal = "start 1 a a1 7\nalive 2 a a1\nstart 9 a a2 8\nend 10 a a2\nstart 11 b b1 8\nend 12 b b1\n"
    journal += "start 1 c c1 8\nend 3 c c1\nstart 30 c c2 8\nend 31 c c2\n"
    verdict = judge(seen(journal, {}, kills=[Kill(2.0, "7", held)], snapshots=[held]))
    assert (verdict.reruns, verdict.rerun_max) == (2, 9.0)


def test_the_time_counts_from_the_last_kill_before_the_rerun() -> None:
    first, second = Snapshot(2.0, {"petiole:w7:1": "a"}), Snapshot(9.0, {"petiole:w8:5": "a", "petiole:w8:4": "b"})
    journal = "start 1 a a1 7\nalive 2 a a1\nstart 8 b b1 8\nalive 9 b b1\nstart 15 a a2 9\nend 16 a a2\n"
    kills = [Kill(2.0, "7", first), Kill(9.0, "8", second)]
    verdict = judge(seen(journal, {}, kills=kills, snapshots=[first, second]))
    assert (verdict.reruns, verdict.rerun_max) == (1, 6.0)


def test_a_stopped_worker_that_lost_no_task_is_told() -> None:
    journal = "start 1 a a1 7\nalive 2 a a1\nstart 10 a a2 8\nend 11 a a2\n"
    assert judge(seen(journal, {}, pauses=[Pause(2.0, 13.0, "7")])).idle_pauses == 0
    assert judge(seen(journal, {}, pauses=[Pause(2.0, 13.0, "8")])).idle_pauses == 1
    assert judge(seen(journal, {}, pauses=[Pause(2.0, 9.0, "7")])).idle_pauses == 1


def test_a_killed_worker_whose_tasks_were_all_done_is_told() -> None:
    held = Snapshot(2.0, {"petiole:w7:1": "a"})
    journal = "start 1 a a1 7\nend 2 a a1\n"
    again = "start 9 a a2 8\nend 10 a a2\n"
    assert judge(seen(journal, {}, kills=[Kill(1.5, "7", held)], snapshots=[held])).idle_kills == 1
    assert judge(seen(journal + again, {}, kills=[Kill(1.5, "7", held)], snapshots=[held])).idle_kills == 0


def test_a_start_that_the_killed_worker_had_ordered_is_no_rerun() -> None:
    held = Snapshot(2.0, {"petiole:w7:1": "a"})
    journal = "start 2.1 a a1 7\nalive 2.2 a a1\nstart 9 a a2 8\nend 10 a a2\n"
    earlier = Snapshot(2.15, held.held)
    verdict = judge(seen(journal, {}, kills=[Kill(2.0, "7", held)], snapshots=[held, earlier]))
    assert verdict.rerun_max == 7.0


PEERS = "start 1 a a1 7\nalive 2 a a1\nstart 9 a a2 celery-late-1\nend 10 a a2\n"


def test_a_task_that_celery_took_last_was_lost_by_celery() -> None:
    quiet = "start 1 a a1 7\nend 2 a a1\nstart 1 b b1 celery-early-2\n"
    verdict = judge(seen(quiet, {"a": "a1"}, last_takers={"a": Taker.OURS, "b": Taker.PEER}))
    assert (verdict.completed, verdict.lost, verdict.lost_by_peer) == (1, 0, {"b": "begun by celery-early-2"})


@pytest.mark.parametrize("taker", [Taker.OURS, Taker.NOBODY])
def test_a_task_that_we_took_last_or_nobody_took_was_lost_by_us(taker: Taker) -> None:
    verdict = judge(seen(QUIET, {"a": "a1"}, last_takers={"a": Taker.OURS, "b": taker}))
    assert (verdict.lost, verdict.lost_by_peer) == (1, {})


def test_the_records_of_tasks_that_celery_has_run_are_not_judged() -> None:
    assert judge(seen(PEERS, {"a": "a1"})).stale == []
    write = Write(3.0, "a", "SUCCESS", "a1")
    assert judge(seen(PEERS, {"a": "a1"}, writes=[write, write])).stale == []


def test_our_attempt_beside_celery_s_is_told_and_celery_s_beside_ours_is_not() -> None:
    assert len(judge(seen(PEERS + "alive 9.5 a a1\n", {})).beside) == 1
    theirs = "start 1 a a1 celery-late-1\nalive 9.5 a a1\nstart 9 a a2 7\nend 10 a a2\n"
    assert judge(seen(theirs, {})).beside == []


def test_a_task_of_ours_that_celery_holds_is_in_good_hands() -> None:
    held, celery = Snapshot(2.0, {"petiole:w7:1": "a"}), Snapshot(4.0, {}, frozenset({"a"}))
    verdict = judge(seen(PEERS, {}, kills=[Kill(2.0, "7", held)], snapshots=[held, celery]))
    assert (verdict.reruns, verdict.rerun_max) == (1, 2.0)
