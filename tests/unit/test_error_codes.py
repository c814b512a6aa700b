"""docs/errors.md has every code that the source has, and no other."""

import itertools
import os
import re

CODE = re.compile(r"LIM-[A-Z]+-\d{3}")


def test_every_code_is_in_the_table() -> None:
    raised: set[str] = set()
    named: set[str] = set()
    for place, _, names in itertools.chain(os.walk("src/limosa"), os.walk("src/limosa_slice")):
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(place, name), encoding="utf-8") as file:
                    text = file.read()
                raised.update(re.findall(rf'"({CODE.pattern})"', text))
                named.update(CODE.findall(text))
    with open("docs/errors.md", encoding="utf-8") as file:
        rows = re.findall(rf"^\| ({CODE.pattern}) \| .{{10,}} \|", file.read(), re.M)
    assert len(rows) == len(set(rows)), "a code has two rows"
    assert rows == sorted(rows), "the rows are in order"
    assert raised - set(rows) == set(), "each of these needs a row in docs/errors.md"
    assert set(rows) - named == set(), "these are in docs/errors.md and nowhere in the source"
