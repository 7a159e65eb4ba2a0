"""The documentation says what the code does, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

import reference_pages

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", sorted(reference_pages.PAGES))
def test_a_reference_page_is_what_the_code_makes_of_it(page: str) -> None:
    made = reference_pages.text(page)
    assert (reference_pages.FOLDER / page).read_text(encoding="utf-8") == made, "run script/docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    for decision in ROOT.glob("docs/adr/[0-9]*.md"):
        title = decision.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        assert f"[{title}]({decision.name})" in listed


def test_every_page_is_listed() -> None:
    listed = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*/*.md"):
        place = str(page.relative_to(ROOT / "docs"))
        assert place.startswith("adr/") or f"({place})" in listed, f"docs/README.md does not name {place}"


def test_every_test_that_the_page_of_faults_names_is_there() -> None:
    named = re.findall(
        r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/reference/faults.md").read_text(encoding="utf-8")
    )
    assert len(named) > 30
    for file, name in named:
        assert re.search(
            rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE
        ), f"{file}::{name}"
