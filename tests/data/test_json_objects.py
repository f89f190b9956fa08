"""Arrays of JSON objects, against Python's own module."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.data import json_objects
from tfzoo.data.readers import read_records
from tfzoo.errors import DataError


def write(path, content):
    path.write_bytes(content.encode())
    return path


@given(
    objects=st.lists(
        st.dictionaries(
            st.text(),
            st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=3),
            max_size=3,
        ),
        max_size=4,
    ),
    indent=st.sampled_from([None, 0, 1]),
    ascii=st.booleans(),
)
def test_an_array_of_objects_is_read_like_pythons_json_module(
    tmp_path, objects, indent, ascii
):
    content = json.dumps(objects, indent=indent, ensure_ascii=ascii)
    path = write(tmp_path / "a.json", content)
    found = list(read_records(path))
    assert [r.fields for r in found] == objects
    assert [(r.number, r.unit) for r in found] == [
        (i, "record") for i in range(len(objects))
    ]


def test_the_lines_of_an_array_are_forgotten_once_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.json", json.dumps([{"a": "x" * 90}] * 1000, indent=1))
    kept = []
    for _, text in zip(range(1000), watched_array(path, monkeypatch), strict=True):
        kept.append(text)
    assert max(kept) < 1000


def watched_array(path, monkeypatch):
    """Yields the number of characters in memory after each object."""
    texts = []

    class Watched(json_objects._Text):
        def __init__(self, path):
            super().__init__(path)
            texts.append(self)

    monkeypatch.setattr(json_objects, "_Text", Watched)
    for _ in read_records(path):
        yield len(texts[0]._text)


def test_an_object_and_a_line_without_end_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.json", '[{"a": 1},\n{"a": [' + "\n1," * 3000)
    monkeypatch.setattr(json_objects, "MAX_ELEMENT_CHARACTERS", 1000)
    rule = r"a\.json:\d+: record 1: An object must be closed and have at most 1000"
    with pytest.raises(DataError, match=rule):
        list(read_records(path))
    monkeypatch.setattr("tfzoo.text.lines.MAX_LINE_BYTES", 1000)
    path = write(tmp_path / "b.json", json.dumps([{"a": 1}] * 1000))
    with pytest.raises(DataError, match=r"at most 1000 bytes long\. Save it with an"):
        list(read_records(path))
