import pytest
import torch

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.core.data.encoded import EncodedDataset, EncodedFolder

MADE_BY = {"task": "sft", "num_frames": 5}


@pytest.fixture
def folder(tmp_path):
    """Two encoded samples."""
    encoded = EncodedFolder(tmp_path, MADE_BY)
    encoded.describe()
    for row in (1, 0):
        encoded.write(row, f"of{row}", {"latents": torch.full((1, 2), float(row)), "steps": torch.tensor([row])})
    return tmp_path


def test_samples_come_back_in_the_order_of_the_rows(folder):
    dataset = EncodedDataset(folder, task="sft", repeat=2)
    assert [dataset[index]["latents"][0, 0].item() for index in range(len(dataset))] == [0, 1, 0, 1]
    assert dataset[1]["steps"].dtype == torch.int64


def test_nothing_is_pickled(folder):
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


def test_encoding_goes_on_where_it_stopped(folder):
    again = EncodedFolder(folder, MADE_BY)
    assert [again.has(row, f"of{row}") for row in range(3)] == [True, True, False]


def test_a_row_of_another_content_is_not_there_and_what_it_was_is_forgotten(folder):
    again = EncodedFolder(folder, MADE_BY)
    assert not again.has(0, "other")
    again.forget_other_contents(0, "other")
    again.forget_other_contents(1, "of1")
    assert [path.name for path in EncodedDataset(folder, task="sft").files] == ["00000001-of1.safetensors"]
    again.forget_rows_from(1)
    with pytest.raises(DatasetError, match="no encoded samples here"):
        EncodedDataset(folder, task="sft")


def test_a_folder_made_by_other_settings_is_refused(folder):
    with pytest.raises(DatasetError, match="encoded with num_frames = 5, and now it is 9; name another --output_path"):
        EncodedFolder(folder, {**MADE_BY, "num_frames": 9})


def test_an_unfinished_file_is_not_read(folder):
    (folder / ".00000002.safetensors.unfinished").write_bytes(b"half")
    assert len(EncodedDataset(folder, task="sft")) == 2


def test_a_damaged_file_is_named(folder):
    (folder / "00000000-of0.safetensors").write_bytes(b"half")
    with pytest.raises(BadSampleError, match=r"00000000-of0\.safetensors: not a whole encoded sample"):
        EncodedDataset(folder, task="sft")[0]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("direct_distill", "encoded for --task sft, expected direct_distill"),
        (None, "no encoded samples here; make them"),
    ],
)
def test_the_wrong_folder(folder, tmp_path_factory, task, message):
    place = folder if task else tmp_path_factory.mktemp("empty")
    with pytest.raises(DatasetError, match=message):
        EncodedDataset(place, task=task or "sft")


def test_a_file_is_no_folder_of_samples(tmp_path):
    metadata = tmp_path / "metadata.csv"
    metadata.write_text("image,prompt")
    with pytest.raises(DatasetError, match=r"metadata\.csv: no encoded samples here; make them"):
        EncodedDataset(metadata, task="sft")
