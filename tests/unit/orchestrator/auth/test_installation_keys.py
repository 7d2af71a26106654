"""The installation's keys: made once, kept private, refused when they are not."""

from pathlib import Path

import pytest

from orchestrator.auth.installation_keys import FILE, KEY_BYTES, InstallationKeysError, kept_keys, key_of_text


def test_keys_are_made_once(tmp_path: Path) -> None:
    """The second call finds what the first one made, in a file of the owner's alone."""
    folder = tmp_path / "state"
    first = kept_keys(folder)
    assert kept_keys(folder) == first
    assert (len(first.stamp), len(first.seal)) == (KEY_BYTES, KEY_BYTES)
    assert first.stamp != first.seal
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    """A key that is no secret seals nothing."""
    kept_keys(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(InstallationKeysError, match="read by others"):
        kept_keys(tmp_path)


@pytest.mark.parametrize("content", ["", "00", "zz\nzz", "00 11", "\n".join(["00" * 32] * 3)])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    """Never is a key made up in place of one that was lost: sessions sealed with it would be lost in silence."""
    kept_keys(tmp_path)
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InstallationKeysError):
        kept_keys(tmp_path)


def test_a_key_may_be_text() -> None:
    """Hex is taken as hex, other text as it is, and a short one not at all."""
    assert key_of_text("ab" * 32 + "\n") == bytes.fromhex("ab" * 32)
    assert key_of_text("not hex, but forty characters of a phrase") == b"not hex, but forty characters of a phrase"
    with pytest.raises(ValueError, match="32 characters"):
        key_of_text("short")
