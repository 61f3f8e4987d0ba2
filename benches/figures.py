"""The figures: their goals, and the one form in which they are printed."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass


def say(text: str) -> None:
    """Tells what goes on, beside the figures."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Figure:
    """A figure with its goal."""

    name: str
    unit: str
    more_is_better: bool = False
    times: float | None = None
    """How many times better ours has to be."""
    at_most: float | None = None
    """What ours may be."""
    behind: float | None = None
    """By how much ours may be worse than the peer's."""

    def report(self, ours: float, peer: float) -> bool:
        """Prints the line; whether the goal is met."""
        better, worse = (ours, peer) if self.more_is_better else (peer, ours)
        ratio = better / worse if worse else float("inf")
        print(f"bench {self.name} ours={short(ours)} peer={short(peer)} ratio={ratio:.2f} unit={self.unit}", flush=True)
        met = True
        if self.times is not None and ratio < self.times:
            say(f"{self.name} misses its goal of {self.times:g} times")
            met = False
        if self.at_most is not None and ours > self.at_most:
            say(f"{self.name} misses its goal of at most {self.at_most:g} {self.unit}")
            met = False
        if self.behind is not None and worse - better > self.behind and ratio < 1:
            say(f"{self.name} misses its goal of at most {self.behind:g} {self.unit} behind the peer")
            met = False
        return met


def short(number: float) -> str:
    """A figure with the digits that mean something."""
    return f"{number:.1f}" if number >= 10 else f"{number:.3f}"


#: What a bench has measured: ours and the peer's.
Compared = Mapping[Figure, tuple[float, float]]
