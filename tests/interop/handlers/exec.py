"""A process per task, for the bodies of these tests."""

import sys
from pathlib import Path

INTEROP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(INTEROP), str(INTEROP.parent)]

from bodies import BODIES
from rig import exec_handler

sys.exit(exec_handler.work(BODIES))
