"""A Celery program that signs what it sends, and takes only what is signed by those that it knows.

Celery turns signing on for all apps of a process, so this one is a process of its own: a worker (`celery -A signed
worker`), or a client (`python signed.py QUEUE ARGUMENT`), which prints what `demo.echo` returned.
"""

import json
import os
import sys
from pathlib import Path

import tasks

#: A folder with key.pem and cert.pem of this program, and store/ with the certificates of those that it knows.
signer = Path(os.environ["INTEROP_SIGNER"])
app = tasks.make_app(
    os.environ["INTEROP_BROKER"],
    task_serializer="auth",
    accept_content=["auth"],
    result_accept_content=["json"],
    security_key=str(signer / "key.pem"),
    security_certificate=str(signer / "cert.pem"),
    security_cert_store=str(signer / "store" / "*.pem"),
    worker_prefetch_multiplier=1,
)
# `security_digest` among the settings does not count: this argument's default does.
app.setup_security(allowed_serializers=["json"], digest=os.environ.get("INTEROP_DIGEST", "sha256"))

if __name__ == "__main__":
    queue, argument = sys.argv[1:]
    result = tasks.task(app, "echo").apply_async((argument,), queue=queue)
    print(result.id, flush=True)
    try:
        print(json.dumps(result.get(timeout=20)))
    except Exception as error:
        print(json.dumps({"raised": type(error).__name__}))
