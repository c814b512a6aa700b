"""Say what memcached holds: the counter, how many keys, and one digest over all of them."""

import hashlib
import socket

with socket.create_connection(("127.0.0.1", 11211), timeout=20) as connection:
    stream = connection.makefile("rwb")
    names = [b"total"] + [b"key-%d-%d" % (index, number) for index in range(4) for number in range(5000)]
    digest, keys, total = hashlib.sha256(), 0, b""
    for name in names:
        stream.write(b"get %s\r\n" % name)
        stream.flush()
        head = stream.readline().split()
        if head != [b"END"]:
            value = stream.read(int(head[3]) + 2)[:-2]
            total = value if name == b"total" else total
            digest.update(name + b"\0" + value + b"\0")
            keys += 1
            stream.readline()
    print(total.strip().decode(), keys, digest.hexdigest())
