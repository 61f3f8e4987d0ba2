"""A long-lived handler of the ledger's tasks. Argument: the journal."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

from book import Book
from journals import open_journal
from rig import serve_handler

serve_handler.Handler({"ledger.work": Book(open_journal(sys.argv[1])).work}).work()
