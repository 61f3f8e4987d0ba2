"""The rig that interop tests, ledgers and benches stand on: real servers and workers on this machine."""
