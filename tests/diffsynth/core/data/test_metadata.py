import pytest

from diffsynth.core.data import DatasetError
from diffsynth.core.data.media_dataset import read_metadata

ROWS = [{"video": "a.mp4", "prompt": "一只狗, running"}, {"video": "b.mp4", "prompt": "a cat"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", 'video,prompt\na.mp4,"一只狗, running"\nb.mp4,a cat\n'),
        ("m.csv", '\ufeffvideo,prompt,image\r\na.mp4,"一只狗, running",\r\nb.mp4,a cat,\r\n'),
        ("m.json", '[{"video": "a.mp4", "prompt": "一只狗, running"}, {"video": "b.mp4", "prompt": "a cat"}]'),
        (
            "m.jsonl",
            '{"video": "a.mp4", "prompt": "一只狗, running"}\n\n{"video": "b.mp4", "prompt": "a cat"}\n',
        ),
    ],
)
def test_the_same_rows_of_every_kind(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_metadata(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.txt", b"x", r"m\.txt: expected a metadata file that ends in \.csv, \.json, \.jsonl"),
        ("m.csv", None, r"m\.csv: there is no such metadata file; check --dataset_metadata_path"),
        ("m.csv", b"video,prompt\n", r"m\.csv: there are no rows"),
        (
            "m.csv",
            b"video,prompt\na.mp4,a dog, running\n",
            r"m\.csv: row 1 has more values than the 2 columns; put quot",
        ),
        ("m.csv", "video,prompt\na.mp4,狗\n".encode("gbk"), r"m\.csv: not UTF-8 text"),
        ("m.json", b'{"video": "a.mp4"}', r"m\.json: holds a dict, expected a list of objects"),
        ("m.json", b"[1]", r"m\.json: row 1 is a int, expected an object"),
        ("m.json", b"[", r"m\.json: not JSON"),
        ("m.jsonl", b'{"video": "a.mp4"}\n{"video"\n', r"m\.jsonl: line 2 is not JSON"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_metadata(tmp_path / name)
