"""The demo's client: a plain Celery program. It sends photographs as tasks and writes the thumbnails that come back."""

import argparse
import base64
import sys
from pathlib import Path

import cluster
from celery import Celery
from celery.result import AsyncResult, ResultSet
from progress import Progress

# Seconds. A photograph takes less than one; the rest is for a busy machine.
PATIENCE = 300
# The boxes that thumbnails fit into; one task for each.
SIZES = ["160x160", "320x320", "640x640"]


def main() -> None:
    arguments = parse()
    photographs = sorted(path for path in arguments.photographs.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    if not photographs:
        sys.exit(f"there is no .jpg in {arguments.photographs}: PHOTOGRAPHS=FOLDER names one that has some")
    with cluster.forwarded(arguments.namespace, "service/petiole-redis", 6379) as redis:
        app = Celery(broker=f"redis://{redis}/0", backend=f"redis://{redis}/1")
        # Where the task's code is, and in which language, is not this program's business.
        make_thumbnail = app.signature("thumbnails.make", queue="thumbnails")

        sent = {}
        for photograph in photographs:
            content = base64.b64encode(photograph.read_bytes()).decode()
            for size in SIZES:
                result = make_thumbnail.delay(photograph=content, size=size)
                sent[result.id] = (result, arguments.thumbnails / size / photograph.name)
        print(f"sent {len(photographs)} photographs, each to be made {len(SIZES)} sizes:")

        failures = collect(sent, arguments)
    for thumbnail, error in failures:
        print(f"{thumbnail}: {error}", file=sys.stderr)
    if failures:
        sys.exit(1)


def collect(sent: dict[str, tuple[AsyncResult, Path]], arguments: argparse.Namespace) -> list[tuple[Path, object]]:
    """Writes each thumbnail as it comes; returns those that were not made, and why."""
    failures = []
    progress = Progress(len(sent))
    finished = ResultSet([result for result, _ in sent.values()]).iter_native(timeout=PATIENCE)
    for done, (task_id, meta) in enumerate(finished, start=1):
        _, thumbnail = sent[task_id]
        if meta["status"] == "SUCCESS":
            thumbnail.parent.mkdir(parents=True, exist_ok=True)
            thumbnail.write_bytes(base64.b64decode(meta["result"]))
        else:
            failures.append((thumbnail, meta["result"]))
        progress.show(done, f"{thumbnail.parent.name}/{thumbnail.name}")
        if done == len(sent) // 2:
            progress.interrupt()
            cluster.show(arguments.namespace)
    progress.interrupt()
    return failures


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True, help="where Petiole and its Redis are")
    parser.add_argument("--photographs", required=True, type=Path, help="folder of .jpg files")
    parser.add_argument("--thumbnails", required=True, type=Path, help="folder to write to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
