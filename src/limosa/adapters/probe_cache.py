"""Outcomes of trials in one JSON file."""

import json
import os

from limosa.ports.probes import Outcome


class JsonFindingCache:
    """ports.probes.FindingCache: {subject: [fingerprint, outcome, time]}, read at once and written at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._entries: dict[str, tuple[str, Outcome, float]] | None = None

    def recall(self, name: str, fingerprint: str) -> tuple[Outcome, float] | None:
        """Return the outcome and when it was found, or None."""
        known, outcome, tried_at_s = self._loaded().get(name, ("", None, 0.0))
        return (outcome, tried_at_s) if outcome is not None and known == fingerprint else None

    def remember(self, name: str, fingerprint: str, outcome: Outcome, tried_at_s: float) -> None:
        """Keep an outcome; an earlier one of the same subject is forgotten."""
        self._loaded()[name] = (fingerprint, outcome, tried_at_s)

    def save(self) -> None:
        """Write what is remembered, in one step."""
        fresh = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
            with open(fresh, "w", encoding="utf-8") as file:
                json.dump({name: (key, *entry) for name, (key, *entry) in self._loaded().items()}, file)
            os.rename(fresh, self._path)
        except OSError:
            return

    def _loaded(self) -> dict[str, tuple[str, Outcome, float]]:
        if self._entries is None:
            self._entries = {}
            try:
                with open(self._path, encoding="utf-8") as file:
                    read = json.load(file)
                self._entries = {name: (key, Outcome(*outcome), at) for name, (key, outcome, at) in read.items()}
            except (OSError, ValueError, TypeError, AttributeError):
                pass  # no file, or not one of ours: everything is tried anew
        return self._entries
