"""Load for memcached: connections that set, get and count for a time, and end with 1 at the first wrong answer."""

import socket
import sys
import threading
import time

HOST, SECONDS, CONNECTIONS = sys.argv[1], float(sys.argv[2]), 4
WRONG = []


def work(index):
    with socket.create_connection((HOST, 11211), timeout=20) as connection:
        stream = connection.makefile("rwb")

        def ask(request):
            stream.write(request)
            stream.flush()
            return stream.readline()

        number, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            number += 1
            value = b"%d-%d" % (index, number) * 50
            stored = ask(b"set key-%d-%d 0 0 %d\r\n%s\r\n" % (index, number % 5000, len(value), value))
            head = ask(b"get key-%d-%d\r\n" % (index, number % 5000))
            found, end = stream.readline().strip(), stream.readline()
            counted = ask(b"incr total 1\r\n")
            if stored != b"STORED\r\n" or not head.startswith(b"VALUE") or found != value or end != b"END\r\n":
                WRONG.append((stored, head, end))
                return
            if not counted.strip().isdigit():
                WRONG.append(counted)
                return


def main():
    threads = [threading.Thread(target=work, args=(index,)) for index in range(CONNECTIONS)]
    threading.excepthook = lambda failed: WRONG.append(failed.exc_value)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"wrong answers: {len(WRONG)} {WRONG[:3]}", flush=True)
    sys.exit(bool(WRONG))


main()
