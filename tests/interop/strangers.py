"""An exception that only workers import, so that no client has its class."""


class StrangeError(Exception):
    """Nobody knows it."""
