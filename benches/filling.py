"""Fills the queue that both sides start from: messages of a real Celery client, kept in a file that Redis loads."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rig.redis_server import RedisServer

HERE = Path(__file__).resolve().parent
#: Publishing is Python's work, so each core does a part.
PUBLISHERS = os.cpu_count() or 1


def fill(count: int, target: Path, onto: Path | None = None) -> Path:
    """Writes `target`, from which a Redis starts with `count` messages more in the queue `celery` than from `onto`."""
    share = -(-count // PUBLISHERS)
    print(f"filling the queue with {share * PUBLISHERS:,} messages", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="petiole-") as folder, RedisServer(Path(folder), dump=onto) as server:
        before = server.client.llen("celery")
        command = [sys.executable, str(HERE / "publish.py"), str(share)]
        env = {**os.environ, "BENCH_BROKER": server.url}
        publishers = [subprocess.Popen(command, env=env) for _ in range(PUBLISHERS)]
        codes = [publisher.wait() for publisher in publishers]
        added = server.client.llen("celery") - before
        if any(codes) or added != share * PUBLISHERS:
            raise RuntimeError(f"{added} messages were added to the queue, not {share * PUBLISHERS}")
        shutil.copyfile(server.save(), target)
    return target
