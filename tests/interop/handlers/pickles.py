"""The same handler, which also takes messages that are pickled: whoever may send one may run code here."""

import sys
from pathlib import Path

INTEROP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(INTEROP), str(INTEROP.parent)]

from bodies import BODIES
from rig import serve_handler

serve_handler.Handler(BODIES, accept=["pickle"]).work()
