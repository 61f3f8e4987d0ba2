"""What Helm makes of the charts, as Python values."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[1]
Object = dict[str, Any]


class Refused(Exception):
    """Helm does not render the chart; the text says why."""


def helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], cwd=CHARTS, capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def render(*arguments: str, chart: str = "petiole", release: str = "petiole") -> list[Object]:
    """The objects of a release in the namespace `home`."""
    text = helm("template", release, chart, "--namespace", "home", *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [item for item in of_kind(objects, kind) if item["metadata"]["name"] == name]
    return found


def values(chart: str = "petiole") -> Path:
    return CHARTS / chart / "values.yaml"
