"""The pages that a newcomer reads lead somewhere, and the index of decisions has every decision."""

import os
import re

import pytest

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/guide.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/adr/README.md",
]
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _read(page: str) -> str:
    with open(f"{_ROOT}/{page}", encoding="utf-8") as file:
        return file.read()


def _anchors(text: str) -> set[str]:
    headings = [line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")]
    return {re.sub(r"[^a-z0-9 -]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: str) -> None:
    links = [link for link in _LINK.findall(_read(page)) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        assert os.path.exists(f"{_ROOT}/{target}"), f"{page}: {link}"
        assert not anchor or anchor in _anchors(_read(target)), f"{page}: {link}"


def test_the_index_has_every_decision_once() -> None:
    decisions = sorted(name for name in os.listdir(f"{_ROOT}/docs/adr") if name != "README.md")
    assert _LINK.findall(_read("docs/adr/README.md")) == decisions


def test_the_guide_and_readme_name_every_verb() -> None:
    from limosa.cli.dispatch import VERBS

    verbs = [verb for verb, (_, summary) in VERBS.items() if summary]
    for page in ("README.md", "docs/guide.md"):
        words = set(re.findall(r"[a-z]+", _read(page)))
        assert [verb for verb in verbs if verb not in words] == [], page
