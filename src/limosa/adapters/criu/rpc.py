"""CRIU's RPC: a request and then, until the answer, notifications that have to be acknowledged.

`criu swrk FD` serves one connection on a SOCK_SEQPACKET socket.  Source: criu(8), https://criu.org/RPC,
CRIU images/rpc.proto.
"""

import os
import select
import socket
from collections.abc import Callable, Mapping

from limosa.adapters.criu import wire
from limosa.model.hints import Any, Final

DUMP: Final = 1
RESTORE: Final = 2
NOTIFY: Final = 6
CGROUPS_SOFT: Final = 3
NFTABLES: Final = 2
NO_LOCK: Final = 3
CLONE_NEWNET: Final = 0x40000000

_CGROUP_ROOT: Final = {1: ("ctrl", "str"), 2: ("path", "str")}
_INHERIT_FD: Final = {1: ("key", "str"), 2: ("fd", "int")}
_OPTIONS: Final = {
    1: ("images_dir_fd", "int"),
    2: ("pid", "int"),
    3: ("leave_running", "bool"),
    4: ("ext_unix_sk", "bool"),
    5: ("tcp_established", "bool"),
    8: ("file_locks", "bool"),
    9: ("log_level", "int"),
    10: ("log_file", "str"),
    12: ("notify_scripts", "bool"),
    13: ("root", "str"),
    17: ("work_dir_fd", "int"),
    18: ("link_remap", "bool"),
    25: ("cg_root", _CGROUP_ROOT),
    26: ("rst_sibling", "bool"),
    27: ("inherit_fd", _INHERIT_FD),
    34: ("manage_cgroups_mode", "int"),
    35: ("ghost_limit", "int"),
    36: ("irmap_scan_paths", "str"),
    37: ("external", "str"),
    38: ("empty_ns", "int"),
    46: ("tcp_skip_in_flight", "bool"),
    48: ("lazy_pages", "bool"),
    50: ("orphan_pts_master", "bool"),
    52: ("tcp_close", "bool"),
    60: ("cgroup_yard", "str"),
    64: ("network_lock", "int"),
}
_NOTIFICATION: Final = {1: ("script", "str"), 2: ("pid", "int")}
_REQUEST: Final = {1: ("type", "int"), 2: ("opts", _OPTIONS), 3: ("notify_success", "bool")}
_RESPONSE: Final = {
    1: ("type", "int"),
    2: ("success", "bool"),
    4: ("restore", {1: ("pid", "int")}),
    5: ("notify", _NOTIFICATION),
    7: ("cr_errno", "int"),
    9: ("cr_errmsg", "str"),
}
_MOST_BYTES: Final = 1 << 16
_SILENCE_S: Final = 1.0


class RpcFailed(Exception):
    """CRIU answered that it failed, or hung up; the reason is in its log."""


def call(
    connection: socket.socket,
    kind: int,
    options: Mapping[str, Any],
    on_notify: Callable[[str, int], None],
    on_terminal: Callable[[int], None] | None = None,
    on_silence: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Send one request and return the answer. `on_notify(script, pid)` is called in each notification.

    `on_silence` is called whenever criu has said nothing for a second.

    `on_terminal(descriptor)` gets the master of a pty whose slave the processes have and whose master none of them
    has, and need not close it (the notification "orphan-pts-master").

    An exception of `on_notify` is answered with "no success", which makes CRIU give up and undo, and is raised again
    when CRIU has answered.  Raises: RpcFailed.
    """
    connection.send(wire.encode(_REQUEST, {"type": kind, "opts": options}))
    failure: Exception | None = None
    while True:
        while not select.select([connection], [], [], _SILENCE_S)[0]:
            on_silence()
        data, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
        if not data:
            raise failure or RpcFailed("criu hung up")
        answer = wire.decode(_RESPONSE, data)
        if answer.get("type") != NOTIFY:
            break
        notification = answer.get("notify", {})
        if failure is None:
            try:
                if descriptors and on_terminal is not None:
                    on_terminal(descriptors[0])
                on_notify(notification.get("script", ""), notification.get("pid", 0))
            except Exception as error:
                failure = error
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(wire.encode(_REQUEST, {"type": NOTIFY, "notify_success": failure is None}))
    if failure is not None:
        raise failure
    if not answer.get("success"):
        raise RpcFailed(answer.get("cr_errmsg", "") or f"errno {answer.get('cr_errno', 0)}")
    return answer
