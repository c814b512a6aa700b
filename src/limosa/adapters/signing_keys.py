"""The `Trust` port: OpenSSH's signatures. Keys are files below `<root>/trust`.

`key` and `key.pub` are this host's own; `keys/NAME` has the line of a trusted public key. Source: ssh-keygen(1), -Y
sign and -Y check-novalidate; OpenSSH PROTOCOL.sshsig.
"""

import os
from typing import Final

from limosa.linux import atomic_file, files, flock, process
from limosa.model import trust
from limosa.model.commit_store import Signature
from limosa.model.errors import LimosaError, words_of
from limosa.model.ids import checked_name
from limosa.model.trust import TrustedKey

_NAMESPACE: Final = "limosa-commit"
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"


class SigningKeys:
    """Keys in a directory of their own."""

    def __init__(self, root: str, program: str) -> None:
        """`program` is ssh-keygen."""
        self._place = f"{root}/trust"
        self._program = program

    def public_key(self) -> str:
        """See the port."""
        path = self._own()
        with open(f"{path}.pub", encoding="ascii") as file:
            return trust.public_key(file.read())

    def _own(self) -> str:
        path = f"{self._place}/key"
        if not os.path.exists(path):
            os.makedirs(self._place, mode=0o700, exist_ok=True)
            with flock.locked(f"{self._place}/lock"):
                if not os.path.exists(path):
                    self._make(path)
        return path

    def _make(self, path: str) -> None:
        unfinished = f"{path}.new"
        for one in (unfinished, f"{unfinished}.pub"):
            if os.path.exists(one):
                os.unlink(one)
        self._run(["-q", "-t", "ed25519", "-N", "", "-C", "limosa", "-f", unfinished])
        os.rename(f"{unfinished}.pub", f"{path}.pub")
        os.rename(unfinished, path)  # last: with it the key is there

    def sign(self, data: bytes) -> Signature:
        """See the port."""
        key = self.public_key()
        value = self._run(["-Y", "sign", "-q", "-n", _NAMESPACE, "-f", self._own()], data)
        return Signature(key, value.decode("ascii"))

    def fits(self, data: bytes, signature: Signature) -> bool:
        """See the port."""
        import tempfile

        if not trust.fingerprint(signature.key) or not signature.value.startswith(_BEGIN):
            return False
        with tempfile.TemporaryDirectory(prefix="limosa-signature-") as place:
            for name, text in (("signature", signature.value), ("signers", f"one {signature.key}\n")):
                with open(f"{place}/{name}", "w", encoding="ascii") as file:
                    file.write(text)
            argv = ["-Y", "verify", "-q", "-n", _NAMESPACE, "-I", "one"]
            argv += ["-f", f"{place}/signers", "-s", f"{place}/signature"]
            try:
                self._run(argv, data)
            except LimosaError:
                return False
        return True

    def _run(self, argv: list[str], data: bytes = b"") -> bytes:
        try:
            return process.run([self._program, *argv], stdin=data)
        except process.CommandFailed as failed:
            raise LimosaError(
                "LIM-TRUST-004",
                "ssh-keygen cannot sign, check or make a key",
                cause=words_of(failed),
                hint="limosa needs OpenSSH's ssh-keygen of 8.2 or later",
            ) from failed

    def add(self, name: str, key: str) -> TrustedKey:
        """See the port."""
        line = trust.public_key(key)
        os.makedirs(f"{self._place}/keys", mode=0o700, exist_ok=True)
        with flock.locked(f"{self._place}/lock"):
            for known in self.all():
                if checked_name(name, "key") == known.name or known.key == line:
                    raise LimosaError(
                        "LIM-TRUST-005",
                        f"the key {known.name!r} is trusted already",
                        cause="it has that name" if known.name == name else "it is that key",
                        hint="limosa trust ls lists them; limosa trust rm takes one away",
                    )
            atomic_file.replace(f"{self._place}/keys/{checked_name(name, 'key')}", f"{line}\n".encode(), locked=True)
        return TrustedKey(name, line, trust.fingerprint(line))

    def remove(self, name: str) -> None:
        """See the port."""
        try:
            os.unlink(f"{self._place}/keys/{checked_name(name, 'key')}")
        except FileNotFoundError as missing:
            raise LimosaError(
                "LIM-TRUST-005", f"no key {name!r} is trusted", hint="limosa trust ls lists them"
            ) from missing

    def all(self) -> list[TrustedKey]:
        """See the port."""
        found = []
        for name in sorted(files.names_in(f"{self._place}/keys")):
            if not name.endswith(".new"):
                with open(f"{self._place}/keys/{name}", encoding="ascii") as file:
                    key = trust.public_key(file.read())
                found.append(TrustedKey(name, key, trust.fingerprint(key)))
        return found
