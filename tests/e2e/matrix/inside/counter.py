"""A server with asyncio and threads: every request adds to a chain of digests that its own memory can be checked by.

/add does one step in a pool of threads, /state says "steps digest file sound", where `sound` is whether the chain,
computed anew from its beginning, is the same and the file has the same number. SIGTERM ends it with 37.
"""

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def link(chain: bytes, number: int) -> bytes:
    return hashlib.sha256(chain + number.to_bytes(8, "big")).digest()


class Counter:
    """The chain, in memory, and its length in a file, too; and how often a thread and a task went round."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.steps = 0
        self.chain = b""
        self.file = os.open("/srv/number", os.O_RDWR | os.O_CREAT)
        self.rounds = {"thread": 0, "task": 0}
        self.pool = ThreadPoolExecutor(8)
        self.answers: dict[bytes, Callable[[], str]] = {b"/add": self.add, b"/state": self.state, b"/ticks": self.ticks}

    def add(self) -> str:
        with self.lock:
            self.steps += 1
            self.chain = link(self.chain, self.steps)
            os.pwrite(self.file, self.steps.to_bytes(8, "big"), 0)
            return str(self.steps)

    def state(self) -> str:
        with self.lock:
            chain = b""
            for number in range(1, self.steps + 1):
                chain = link(chain, number)
            in_file = int.from_bytes(os.pread(self.file, 8, 0), "big")
            sound = chain == self.chain and in_file == self.steps
            return f"{self.steps} {self.chain.hex()} {in_file} {sound}"

    def ticks(self) -> str:
        return str(min(self.rounds.values()))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                answer = self.answers[request.split()[1]]
                body = (await asyncio.get_running_loop().run_in_executor(self.pool, answer)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def tick(self) -> None:
        while True:
            self.rounds["task"] += 1
            await asyncio.sleep(0.02)

    def tick_in_thread(self) -> None:
        never = threading.Event()
        while not never.wait(0.02):
            self.rounds["thread"] += 1


async def main() -> None:
    counter, ended = Counter(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    threading.Thread(target=counter.tick_in_thread, daemon=True).start()
    ticking = asyncio.create_task(counter.tick())
    server = await asyncio.start_server(counter.serve, "0.0.0.0", 8000)
    print("serving", flush=True)
    await ended.wait()
    ticking.cancel()
    server.close()
    print("ended", flush=True)
    os._exit(37)


asyncio.run(main())
