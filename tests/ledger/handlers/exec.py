"""A process per task of the ledger. Argument: the journal."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

from book import Book
from journals import open_journal
from rig import exec_handler

sys.exit(exec_handler.work({"ledger.work": Book(open_journal(sys.argv[1])).work}))
