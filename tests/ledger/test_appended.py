"""Who took a message last is read from an append-only file."""

import json
from io import BytesIO

import pytest
from appended import Taker, last_takers, parse


def message(task: str) -> bytes:
    return json.dumps({"body": "", "headers": {"id": task}}).encode()


def written(*commands: tuple[bytes | str, ...]) -> bytes:
    lines = []
    for command in commands:
        words = [word if isinstance(word, bytes) else word.encode() for word in command]
        lines.append(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    return b"".join(lines)


def takers(*commands: tuple[bytes | str, ...]) -> dict[str, Taker]:
    return last_takers(parse(BytesIO(written(*commands))), "mixed")


def test_what_is_popped_alone_was_taken_by_celery_even_if_it_was_never_written_down() -> None:
    assert takers(("LPUSH", "mixed", message("a")), ("RPOP", "mixed")) == {"a": Taker.PEER}


def test_what_is_popped_and_held_under_our_tag_in_one_step_was_taken_by_us() -> None:
    ours = takers(
        ("LPUSH", "mixed", message("a")),
        ("LPUSH", "mixed\x06\x163", message("b")),
        ("LPUSH", "mixed", message("c")),
        ("MULTI",),
        ("RPOP", "mixed", "1"),
        ("RPOP", "mixed\x06\x163", "64"),
        ("HSET", "unacked", "petiole:w:1", "[]", "petiole:w:2", "[]"),
        ("EXEC",),
    )
    assert ours == {"a": Taker.OURS, "b": Taker.OURS, "c": Taker.NOBODY}


def test_what_went_back_and_was_taken_again_counts_for_the_last_one() -> None:
    taken = ("MULTI",), ("RPOP", "mixed", "64"), ("HSET", "unacked", "petiole:w:1", "[]"), ("EXEC",)
    back = ("MULTI",), ("RPUSH", "mixed", message("a")), ("HDEL", "unacked", "petiole:w:1"), ("EXEC",)
    assert takers(("LPUSH", "mixed", message("a")), *taken, *back) == {"a": Taker.NOBODY}
    assert takers(("LPUSH", "mixed", message("a")), *taken, *back, ("RPOP", "mixed")) == {"a": Taker.PEER}
    assert takers(("LPUSH", "mixed", message("a")), ("RPOP", "mixed"), *back, *taken) == {"a": Taker.OURS}


def test_the_oldest_message_is_the_one_that_is_taken() -> None:
    sent = [("LPUSH", "mixed", message(task)) for task in "abc"]
    assert takers(*sent, ("RPOP", "mixed"))["a"] == Taker.PEER
    assert takers(*sent, ("RPUSH", "mixed", message("d")), ("RPOP", "mixed"))["d"] == Taker.PEER


def test_a_file_that_is_still_being_written_is_read_as_far_as_it_goes() -> None:
    whole = written(("LPUSH", "mixed", message("a")), ("RPOP", "mixed"))
    assert last_takers(parse(BytesIO(whole[:-3])), "mixed") == {"a": Taker.NOBODY}


def test_other_queues_do_not_count_and_a_change_that_cannot_be_played_back_is_an_error() -> None:
    assert takers(("LPUSH", "mixed2", message("a")), ("SET", "mixed", "x")) == {}
    with pytest.raises(ValueError, match="LREM"):
        takers(("LPUSH", "mixed", message("a")), ("LREM", "mixed", "1", "x"))
