"""Which memory a pagemap image is, in words."""

from collections.abc import Callable, Iterable

from limosa.model.commit_contents import CommittedProcess


def of(processes: Iterable[CommittedProcess]) -> Callable[[str], str]:
    """Return what tells the words for the name of a pagemap image: "python3 (pid 1)", "shared memory 3"."""
    commands = {str(process.pid): process.command for process in processes}

    def words(name: str) -> str:
        which = name.removeprefix("pagemap-").removesuffix(".img")
        if which.startswith("shmem-"):
            return f"shared memory {which.removeprefix('shmem-')}"
        return f"{commands.get(which, 'process')} (pid {which})"

    return words
