"""`ps --filter`: which containers are meant."""

from collections.abc import Callable, Sequence

from limosa.model.container import ContainerRecord
from limosa.model.hints import Final


def _label(record: ContainerRecord, text: str) -> bool:
    key, equals, value = text.partition("=")
    labels = dict(record.config.labels)
    return key in labels and (not equals or labels[key] == value)


_OTHER_NAMES: Final = {"exited": "stopped", "up": "running"}
STATUSES: Final = ("created", "running", "paused", "restarting", "stopped", "migrating", *_OTHER_NAMES)


def _status(record: ContainerRecord, text: str) -> bool:
    return record.phase == _OTHER_NAMES.get(text, text)


_TESTS: Final[dict[str, Callable[[ContainerRecord, str], bool]]] = {
    "id": lambda record, text: record.container_id.startswith(text),
    "image": lambda record, text: record.config.oci_image == text,
    "label": _label,
    "name": lambda record, text: text in record.config.name,
    "network": lambda record, text: record.config.network.network == text,
    "status": _status,
    "volume": lambda record, text: any(text in (mount.source, mount.target) for mount in record.config.mounts),
}
KINDS: Final = tuple(_TESTS)


def fits(record: ContainerRecord, wanted: Sequence[tuple[str, str]]) -> bool:
    """Say whether a container is meant: for each kind of filter that is given, by one of that kind at least.

    Labels are the exception, as with docker: all of them.
    """
    for kind in {kind for kind, _ in wanted}:
        answers = [_TESTS[kind](record, text) for other, text in wanted if other == kind]
        if not (all(answers) if kind == "label" else any(answers)):
            return False
    return True
