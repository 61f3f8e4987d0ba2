"""Draws the story of a burst as an SVG that can be read on a light and on a dark page. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Seconds since the burst, and a number from then on.
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line of a panel."""

    label: str
    colour: str
    points: Points
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """What shares a scale."""

    title: str
    lines: Sequence[Line]


WIDTH, HEIGHT, GAP = 640, 150, 46
LEFT, RIGHT, TOP = 48, 130, 30

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #4b5563; }
  .title { font-weight: 600; }
  .grid { stroke: #9ca3af; stroke-opacity: .35; }
  path { fill: none; stroke-width: 2; stroke-linejoin: round; }
  @media (prefers-color-scheme: dark) { text { fill: #c3c9d3; } }
""".rstrip()


def draw(panels: Sequence[Panel], seconds: float) -> str:
    """The whole picture."""
    height = TOP + len(panels) * (HEIGHT + GAP)
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{height}" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', f"<style>{STYLE}\n</style>"]
    for number, panel in enumerate(panels):
        parts += of_panel(panel, seconds, TOP + number * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def of_panel(panel: Panel, seconds: float, top: float) -> list[str]:
    """One panel, with its axes."""
    most = nice(max((y for line in panel.lines for _, y in line.points), default=1))
    bottom = top + HEIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + WIDTH * min(x, seconds) / seconds, bottom - HEIGHT * y / most

    parts = [f'<text class="title" x="{LEFT}" y="{top - 10:g}">{panel.title}</text>']
    for part in (0, 0.5, 1):
        _, y = place(0, most * part)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{LEFT + WIDTH}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{most * part:g}</text>')
    step = nice(seconds / 6)
    for number in range(int(seconds / step) + 1):
        x, _ = place(number * step, 0)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18:g}" text-anchor="middle">{number * step:g} s</text>')
    for number, line in enumerate(panel.lines):
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path stroke="{line.colour}"{dash} d="{steps(line.points, place, seconds)}"/>')
        x, y = LEFT + WIDTH + 12, top + 14 + 22 * number
        parts.append(f'<path stroke="{line.colour}"{dash} d="M{x} {y - 4:g}h22"/>')
        parts.append(f'<text x="{x + 28}" y="{y:g}">{line.label}</text>')
    return parts


def steps(points: Points, place: Callable[[float, float], tuple[float, float]], seconds: float) -> str:
    """A path that stays at each number until the next one."""
    path, before = "", None
    for x, y in [*points, (seconds, points[-1][1])]:
        if y == before and x < seconds:
            continue
        right, up = place(x, y)
        path += f"H{right:.1f}V{up:.1f}" if path else f"M{right:.1f} {up:.1f}"
        before = y
    return path


def nice(number: float) -> float:
    """The next number above that reads well on an axis."""
    size = 1.0
    while size * 10 <= number:
        size *= 10
    return next(size * part for part in (1, 2, 4, 5, 6, 8, 10) if size * part >= number)
