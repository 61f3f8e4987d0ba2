"""A progress bar: one line that is written anew on a terminal, a line for each tenth elsewhere."""

import sys

WIDTH = 30


class Progress:
    def __init__(self, total: int) -> None:
        self.total = total
        self.terminal = sys.stdout.isatty()
        self.open_line = False

    def show(self, done: int, what: str) -> None:
        filled = WIDTH * done // self.total
        line = f"  [{'#' * filled}{'.' * (WIDTH - filled)}] {done:>3}/{self.total}  {what}"
        if self.terminal:
            print(f"\r\033[K{line}", end="", flush=True)
            self.open_line = True
        elif 10 * done // self.total > 10 * (done - 1) // self.total:
            print(line, flush=True)

    def interrupt(self) -> None:
        """Ends the bar's line, so that something else can be printed."""
        if self.open_line:
            print(flush=True)
            self.open_line = False
