"""How another host is reached."""

from limosa.model.value import NamedTuple


class PeerAddress(NamedTuple):
    """What ssh and limosa there need to be told."""

    destination: str  # as ssh takes it: [USER@]HOST, ssh://…, or a name of the user's ssh configuration
    ssh_options: tuple[str, ...] = ()  # each as of ssh -o
    root: str = ""  # its limosa root; "" for its default
    command: str = "limosa"
