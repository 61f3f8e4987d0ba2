"""A handler of mode Serve with the benches' functions in Python."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from functions import FUNCTIONS
from rig import serve_handler

serve_handler.Handler(FUNCTIONS).work()
