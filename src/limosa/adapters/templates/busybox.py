"""The smallest system container: one static busybox whose init reads /etc/inittab."""

from typing import Final

from limosa.adapters.templates.tree import Tree
from limosa.linux import process
from limosa.model.oci import KIND_LABEL, RootfsConfig
from limosa.ports.templates import Template

TEMPLATE: Final = Template(
    "busybox",
    "localhost/busybox:latest",
    # busybox init: SIGUSR2 powers off, SIGTERM would reboot.
    RootfsConfig(cmd=("/sbin/init",), stop_signal="SIGUSR2", labels=((KIND_LABEL, "system"),)),
    "busybox init and a shell, 2 MB",
)

_DIRECTORIES: Final = ("dev", "etc/init.d", "mnt", "proc", "root", "run", "sys", "var/log", "home")
_LINKS: Final = {"etc/mtab": "/proc/self/mounts", "var/run": "/run"}
TEXTS: Final = {
    "etc/inittab": """\
::sysinit:/etc/init.d/rcS
::respawn:/sbin/syslogd -n -O /var/log/messages
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
""",
    "etc/init.d/rcS": """\
#!/bin/sh
for script in /etc/init.d/S*; do
    [ -x "$script" ] && "$script" start
done
echo "limosa: started"
""",
    "etc/init.d/rcK": """\
#!/bin/sh
for script in /etc/init.d/S*; do
    [ -x "$script" ] && "$script" stop
done
echo "limosa: stopped"
""",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:19700:0:99999:7:::\nnobody:*:19700:0:99999:7:::\n",
    "etc/profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPS1='\\u@\\h:\\w\\$ '\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/shells": "/bin/sh\n/bin/ash\n",
    "etc/os-release": 'ID=busybox\nNAME="busybox"\nPRETTY_NAME="busybox, by limosa"\n',
}


def build(archive: str, program: str) -> None:
    """Write the root file system around `program`. Raises: OSError."""
    with open(program, "rb") as file:
        content = file.read()
    applets = process.run([program, "--list-full"]).decode().split()
    with Tree(archive) as tree:
        for directory in _DIRECTORIES:
            tree.directory(directory)
        tree.directory("tmp", 0o1777)
        tree.directory("var/tmp", 0o1777)
        tree.file("bin/busybox", content, 0o755)
        for applet in applets:
            if applet != "bin/busybox":
                tree.link(applet, "/bin/busybox")
        for path, target in _LINKS.items():
            tree.link(path, target)
        tree.texts(TEXTS)
