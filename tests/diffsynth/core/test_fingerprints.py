"""Fingerprints differ where contents do, and only there."""

import pytest

from diffsynth.core.fingerprints import of_file, of_large_files, of_values


def test_values():
    assert of_values([{"a": 1, "b": "x"}]) == of_values([{"b": "x", "a": 1}])
    assert len({of_values(each) for each in ([1], ["1"], [1, 2], [2, 1], {"a": 1})}) == 5


@pytest.mark.parametrize("fingerprint", [of_file, lambda path: of_large_files([path])])
def test_files(tmp_path, fingerprint):
    first, copy, other = (tmp_path / name for name in "abc")
    content = bytes(range(256)) * 4096
    first.write_bytes(content)
    copy.write_bytes(content)
    other.write_bytes(content[:-1] + b"x")
    assert fingerprint(first) == fingerprint(copy) != fingerprint(other)
    other.write_bytes(content + b"x")
    assert fingerprint(first) != fingerprint(other)


def test_a_file_that_is_not_there_has_a_reason(tmp_path):
    assert of_file(tmp_path / "none") == "unreadable (No such file or directory)"
