"""The page of cases: what counts as done, and what it complains of."""

from pathlib import Path

from support.catalogue import complaints, found_by_case, open_cases, page

GROUPS = {
    "A": {
        "title": "Tokens",
        "closed": True,
        "cases": {
            "A01": {"case": "unsigned"},
            "A02": {"case": "confused"},
            "A03": {"case": "SSH", "reason": "not yet"},
        },
    }
}
SOURCE = """
async def test_a01_unsigned(): ...
def test_a01_a02_both(): ...
def test_ab1_none(): ...
def helper_a03_(): ...
"""


def found_in(folder: Path, source: str) -> dict[str, list[str]]:
    """The tests of a file."""
    (folder / "security").mkdir(exist_ok=True)
    (folder / "security" / "test_x.py").write_text(source)
    return found_by_case(folder)


def test_a_test_is_found_by_the_ids_in_its_name(tmp_path: Path) -> None:
    """It may bear several, and a span of them."""
    spanned = found_in(tmp_path, "def test_a01_to_a03_b10_x(): ...")
    assert sorted(spanned) == ["A01", "A02", "A03", "B10"]
    file = "security/test_x.py"
    assert found_in(tmp_path, SOURCE) == {
        "A01": [f"{file}::test_a01_unsigned", f"{file}::test_a01_a02_both"],
        "A02": [f"{file}::test_a01_a02_both"],
    }


def test_the_page_says_done_or_why_not(tmp_path: Path) -> None:
    """And nothing is wrong with it then."""
    tests = found_in(tmp_path, SOURCE)
    text = page(GROUPS, tests)
    assert "| A02 | confused | done: `security/test_x.py::test_a01_a02_both` |" in text
    assert "| A03 | SSH | does not apply because not yet |" in text
    assert "3 cases; open: none." in text
    assert list(complaints(GROUPS, tests, text)) == []


def test_what_is_open_stale_or_unknown_is_told(tmp_path: Path) -> None:
    """A closed group has no open case; a test cannot bear an id that no case has."""
    tests = found_in(tmp_path, "def test_a01_x(): ...\ndef test_a99_x(): ...")
    assert open_cases(GROUPS["A"], tests) == ["A02"]
    said = list(complaints(GROUPS, tests, "old"))
    expected = ("no case A99", "A02 of the closed group", "stale")
    assert all(word in line for word, line in zip(expected, said, strict=True))
