"""A process with a heap like a Python service's: it changes 1 % of its records for each line on its standard input."""

import os
import random
import sys


def main() -> None:
    target_bytes = int(sys.argv[1])
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(5000)]
    records: list[dict[str, object]] = []
    while _resident_bytes() < target_bytes:
        for _ in range(1000):
            records.append(
                {
                    "id": len(records),
                    "name": " ".join(rng.choices(words, k=4)),
                    "score": rng.random(),
                    "tags": rng.sample(words, 3),
                    "blob": os.urandom(64) if len(records) % 4 == 0 else None,
                }
            )
    print("ready", flush=True)
    for _ in sys.stdin:
        for record in rng.sample(records, len(records) // 100):
            record["score"] = rng.random()
            record["name"] = " ".join(rng.choices(words, k=4))
        print("changed", flush=True)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


main()
