"""Send memcached one line, its words the arguments, and print the answer's first; `set` is of an empty counter."""

import socket
import sys

BODY = b"0\r\n" if sys.argv[1] == "set" else b""
with socket.create_connection(("127.0.0.1", 11211), timeout=20) as connection:
    connection.sendall(" ".join(sys.argv[1:]).encode() + b"\r\n" + BODY)
    print(connection.makefile("r").readline().strip())
