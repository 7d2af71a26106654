"""Every relative link in the project's pages leads somewhere, and to a heading that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)


def pages() -> list[Path]:
    """All of the project, and none of what is installed beside it."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    found = [page for top in tops for page in (top.rglob("*.md") if top.is_dir() else (top,)) if page.suffix == ".md"]
    return sorted(page for page in found if "node_modules" not in page.parts)


def anchors(page: Path) -> set[str]:
    """Names of its headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Its relative links that lead nowhere."""
    found = []
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """To a file, to a heading of another page and of its own; what is code is no link."""
    (tmp_path / "other.md").write_text("# A heading, of course\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Mine\n[a](other.md) [b](none.md) [c](other.md#a-heading-of-course) [d](other.md#none) [e](#mine) [f](#no)\n"
        "[g](https://example.com/none)\n```\n[h](none.md)\n```\n"
    )
    assert broken(page) == ["none.md", "other.md#none", "#no"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    """A reader who follows one arrives."""
    assert broken(page) == []
