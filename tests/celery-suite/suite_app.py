"""The app whose tasks the suite calls, as a worker loads it: the suite's own fixtures say the same of its client."""

import os

from celery import Celery
from celery.contrib.testing.app import DEFAULT_TEST_CONFIG

app = Celery("celery.tests", set_as_current=True)
app.conf.update(
    {
        **DEFAULT_TEST_CONFIG,
        "broker_url": os.environ["TEST_BROKER"],
        "result_backend": os.environ["TEST_BACKEND"],
        "result_extended": True,
    }
)
app.set_default()

# Registered at its import.
from celery.contrib.testing import tasks  # noqa: E402, F401
from t.integration.tasks import ClassBasedAutoRetryTask  # noqa: E402

app.register_task(ClassBasedAutoRetryTask)
app.finalize()
