"""What tests and ledgers ask of kubectl, in one namespace of the cluster in use."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Never the user's own context.
ENVIRONMENT = {
    **os.environ,
    "KUBECONFIG": str(ROOT / ".cluster/kubeconfig"),
    "PATH": f"{ROOT}/.cluster/bin:{os.environ['PATH']}",
}


def in_use() -> str:
    """Which cluster this checkout uses: local, kind or context:NAME; nothing when there is none."""
    file = ROOT / ".cluster/in-use"
    return file.read_text().strip() if file.exists() else ""


def run(*command: str | Path, stdin: str | None = None, within: float = 240) -> str:
    """Runs a program to its end and returns what it prints; an error with all it said when it fails."""
    done = subprocess.run(
        [str(part) for part in command], input=stdin, capture_output=True, text=True, env=ENVIRONMENT, timeout=within
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Namespace:
    """A namespace of the cluster."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl in this namespace."""
        return run("kubectl", "--namespace", self.name, *arguments, stdin=stdin)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Applies objects, as YAML (JSON is YAML)."""
        self.kubectl("apply", "--filename", "-", stdin="".join(f"---\n{json.dumps(each)}\n" for each in objects))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object; nothing when there is none."""
        found = self.kubectl("get", kind, name, "--ignore-not-found", "--output", "json")
        return json.loads(found) if found else {}

    def all(self, kinds: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of some kinds."""
        return json.loads(self.kubectl("get", kinds, "--selector", selector, "--output", "json"))["items"]

    def condition(self, kind: str, name: str, of_type: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition that is about the current spec."""
        found = self.get(kind, name)
        generation = found.get("metadata", {}).get("generation")
        for each in found.get("status", {}).get("conditions", []):
            if each["type"] == of_type and each.get("observedGeneration", generation) == generation:
                return each["status"], each["reason"], each["message"]
        return "", "", ""

    def dump(self) -> str:
        """What someone who looks into a failure wants to see before it is gone."""
        told = []
        for command in (
            ("get", "pods,taskqueues,workerpools", "--output", "wide"),
            ("get", "events", "--sort-by", ".lastTimestamp"),
            ("describe", "taskqueues,workerpools"),
            ("logs", "--selector", "app.kubernetes.io/component=operator", "--tail", "40", "--prefix"),
            ("logs", "--selector", "petiole.dev/pool", "--all-containers", "--tail", "40", "--prefix"),
        ):
            try:
                told.append(f"$ kubectl {' '.join(command)}\n{self.kubectl(*command)}")
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                told.append(str(error))
        return "\n".join(told)
