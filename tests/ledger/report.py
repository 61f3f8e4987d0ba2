"""Prints a ledger's verdict, in the one form that all ledgers have."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from verdict import PROMISE, Verdict


#: Nothing more is wrong.
NOTHING: Mapping[str, Sequence[str]] = {}


def report(
    name: str,
    verdict: Verdict,
    idle_kills: bool = False,
    peers: bool = False,
    also: Mapping[str, Sequence[str]] = NOTHING,
) -> bool:
    """Prints the figures, and what is wrong with them; whether nothing is.

    `idle_kills`: a kill after which nothing had to run again is wrong too, since the faults saw to it that there was
    something. `peers`: Celery workers took part, and what they lost is told too. `also`: what else is wrong, with its
    instances.
    """
    by_peer = f" lost_by_peer={len(verdict.lost_by_peer)}" if peers else ""
    print(
        f"ledger {name} submitted={verdict.submitted} completed={verdict.completed} lost={verdict.lost}"
        f" twice={verdict.twice} rerun_max_s={verdict.rerun_max:.1f}{by_peer}",
        flush=True,
    )
    wrong = {
        f"{verdict.lost} tasks are lost": [] if verdict.lost == 0 else ["their ids are in the journal or nowhere"],
        f"a task of a killed worker ran again after {verdict.rerun_max:.1f} s, the promise is {PROMISE:g} s": (
            [] if verdict.rerun_max <= PROMISE else [f"{verdict.reruns} tasks were taken by killed workers"]
        ),
        "tasks ended otherwise than with SUCCESS": [f"{task}: {state}" for task, state in verdict.failed.items()],
        "results were written by a worker that had lost its lease": verdict.stale,
        "attempts ran beside their successors": verdict.beside,
        "stopped workers lost no task, so that nothing was tested": [str(verdict.idle_pauses)]
        * (verdict.idle_pauses > 0),
        "after a kill no task had to run again, so that nothing was tested": [str(verdict.idle_kills)]
        * (idle_kills and verdict.idle_kills > 0),
        **also,
    }
    for problem, instances in wrong.items():
        if instances:
            print(f"{name}: {problem}", *instances[:10], sep="\n  ", file=sys.stderr)
    said = f"{verdict.reruns} tasks of killed workers ran again; stale results {len(verdict.stale)}"
    print(f"{said}; beside their successors {len(verdict.beside)}", file=sys.stderr)
    if verdict.lost_by_peer:
        # Without the number of a worker's life.
        causes = Counter(cause.rstrip("0123456789").rstrip("-") for cause in verdict.lost_by_peer.values())
        print("lost by Celery:", *(f"{count} {cause}" for cause, count in causes.items()), sep="\n  ", file=sys.stderr)
    return not any(wrong.values())
