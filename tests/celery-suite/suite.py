"""Celery's own integration suite: fetched from the registry of Python packages, run, and its outcomes read."""

import subprocess
import sys
import tarfile
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
#: The modules whose tests are about what a worker does.
#: That of the result client comes first: it counts the channels of all before it.
MODULES = ("test_redis_backend", "test_inspect", "test_tasks", "test_canvas", "test_group_chains", "test_loader")
#: Seconds for one test.
TIMEOUT = 300


@dataclass(frozen=True)
class Outcome:
    """How a test has ended."""

    test: str
    #: `passed`, `failed`, `skipped`.
    how: str
    why: str


def fetch(folder: Path) -> Path:
    """Puts the suite of the Celery that is installed here into the folder; nothing but its tests, so that it cannot be
    imported in place of Celery."""
    wanted = f"celery=={version('celery')}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-binary", "celery", "--dest", str(folder), wanted], check=True)
    [archive] = folder.glob("celery-*.tar.gz")
    with tarfile.open(archive) as tar:
        root = tar.getnames()[0].split("/")[0]
        members = [member for member in tar.getmembers() if member.name.startswith(f"{root}/t/")]
        tar.extractall(folder, members, filter="data")
    return folder / root


def run(suite: Path, report: Path, env: Mapping[str, str], options: Iterable[str]) -> list[Outcome]:
    """Runs it against the worker that `env` names."""
    options = list(options)
    chosen = any(option.endswith(".py") or "::" in option for option in options)
    tests = [] if chosen else [f"t/integration/{module}.py" for module in MODULES]
    command = [sys.executable, "-m", "pytest", "-c", str(HERE / "pytest.ini"), "--rootdir", str(suite)]
    more = ["--timeout", str(TIMEOUT), "--junit-xml", str(report), "-q", "-rfE"]
    subprocess.run([*command, *more, *tests, *options], cwd=suite, env=dict(env), check=False)
    return read(report)


def read(report: Path) -> list[Outcome]:
    """The outcomes that pytest has written; the worst of each test."""
    worst: dict[str, Outcome] = {}
    rank = {"passed": 0, "skipped": 1, "failed": 2}
    for case in xml.parse(report).getroot().iter("testcase"):
        place = case.get("classname", "").removeprefix("t.integration.").replace(".", "::")
        test = f"{place}::{case.get('name', '')}"
        how, why = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                how, why = "failed", child.get("message", "").split("\n")[0]
            elif child.tag == "skipped" and how == "passed":
                how, why = "skipped", child.get("message", "").split("\n")[0]
        if test not in worst or rank[how] > rank[worst[test].how]:
            worst[test] = Outcome(test, how, why)
    return list(worst.values())
