"""The parts of :mod:`marotte.defer` that are Python; use them through that."""
