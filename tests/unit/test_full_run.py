"""`make test-full` runs every test."""

import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_every_test_file_is_in_a_part() -> None:
    listed = subprocess.run(["git", "-C", HERE, "ls-files", "tests"], check=True, capture_output=True, text=True).stdout
    files = [path for path in listed.splitlines() if re.search(r"/test_\w+\.py$", path)]
    code = "import full, json; print(json.dumps(full.PARTS))"
    env = {**os.environ, "PYTHONPATH": f"{HERE}/tools"}
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout
    parts: dict[str, list[str]] = json.loads(said)
    for path in files:
        took = [part for part, places in parts.items() if _takes(places, path)]
        one_file_in_several = all(parts[part][0] == path for part in took)
        assert len(took) == 1 or (took and one_file_in_several), f"{path} is in {took or 'no part'}"


def _takes(places: list[str], path: str) -> bool:
    def below(place: str) -> bool:
        return path == place or path.startswith(f"{place}/")

    left_out = [place.removeprefix("--ignore=") for place in places if place.startswith("--ignore=")]
    return any(below(place) for place in places) and not any(below(place) for place in left_out)
