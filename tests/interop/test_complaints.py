"""The page that answers complaints about Celery (docs/compatibility.md) names tests: each of them has to be there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"^## Complaints\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def rows() -> list[list[str]]:
    """The cells of the table: the complaint, what happens here, and the tests."""
    found = SECTION.search((ROOT / "docs/compatibility.md").read_text())
    assert found
    lines = [line for line in found.group(1).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_test_that_answers_a_complaint_exists() -> None:
    sources = [*ROOT.glob("crates/**/*.rs"), *ROOT.glob("tests/**/*.py")]
    there = set(re.findall(r"\b(?:fn|def) (\w+)\(", "\n".join(source.read_text() for source in sources)))
    named = {test for row in rows() for test in re.findall(r"`(\w+)`", row[2] if len(row) > 2 else "")}
    assert named
    assert named - there == set()


def test_a_complaint_is_answered_by_a_test_or_by_not_yet() -> None:
    for complaint, here, *tests in rows():
        assert any("`" in cell for cell in tests) or here.startswith("not yet"), complaint
