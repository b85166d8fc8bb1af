import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.core.data.frames import AS_STORED, FrameSize
from diffsynth.core.data.media_dataset import PLACE, MediaDataset
from diffsynth.utils.data import save_video

SIZE = FrameSize(num_frames=9, multiple=16, frames_step=4)


@pytest.fixture
def folder(tmp_path):
    """A video of 11 frames that brighten, a picture, and a file that is neither."""
    frames = [np.full((48, 64, 3), 20 * index, np.uint8) for index in range(11)]
    save_video(frames, tmp_path / "clip.mp4", fps=15)
    Image.new("RGB", (80, 40), "red").save(tmp_path / "picture.png")
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    frames = [Image.fromarray(frame) for frame in frames]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    return tmp_path


@pytest.fixture
def dataset(folder):
    """dataset(*lines, **options): of a csv file with the columns video, image and prompt."""

    def make(*lines, size=SIZE, **options):
        (folder / "m.csv").write_text("\n".join(["video,image,prompt", *lines]), encoding="utf-8")
        return MediaDataset(folder, folder / "m.csv", file_keys=("image", "video"), size=size, **options)

    return make


def test_a_video_is_its_first_frames(dataset):
    sample = dataset("clip.mp4,,a dog")[0]
    assert sample["prompt"] == "a dog"
    assert sample[PLACE].endswith("m.csv: row 1")
    assert [frame.size for frame in sample["video"]] == [(64, 48)] * 9
    levels = [np.asarray(frame).mean() for frame in sample["video"]]
    assert levels == pytest.approx([20 * index for index in range(9)], abs=4)


def test_a_shorter_video_gives_as_many_as_fit(dataset):
    assert len(dataset("clip.mp4,,a dog", size=FrameSize(num_frames=81, frames_step=4))[0]["video"]) == 9
    assert len(dataset("moving.gif,,a dog", size=FrameSize(num_frames=5, frames_step=4))[0]["video"]) == 5


def test_a_picture_is_one_frame_cropped_around_its_centre(dataset):
    frames = dataset(",picture.png,a red field", size=FrameSize(32, 32, multiple=16))[0]["image"]
    assert [frame.size for frame in frames] == [(32, 32)]
    assert frames[0].getcolors() == [(32 * 32, (255, 0, 0))]


def test_a_column_may_have_a_size_of_its_own(dataset):
    own = {"image": replace(AS_STORED, num_frames=1)}
    sample = dataset("clip.mp4,picture.png,x", size=FrameSize(16, 32, num_frames=2), sizes=own)[0]
    assert [frame.size for frame in sample["video"]] == [(32, 16)] * 2
    assert [frame.size for frame in sample["image"]] == [(80, 40)]


def test_a_list_of_files_is_a_list_of_their_frames(folder):
    rows = [{"image": ["picture.png", "moving.gif"]}, {"image": ["picture.png", 3]}, {"image": []}]
    (folder / "m.json").write_text(json.dumps(rows))
    options = {"file_keys": ("image",), "size": FrameSize(num_frames=2)}
    samples = MediaDataset(folder, folder / "m.json", lists=("image",), **options)
    assert [[frame.size for frame in frames] for frames in samples[0]["image"]] == [[(80, 40)], [(64, 48)] * 2]
    with pytest.raises(BadSampleError, match=r"row 2, image: 3 is a int, expected a file name"):
        samples[1]
    with pytest.raises(BadSampleError, match=r"row 3 names no file"):
        samples[2]
    with pytest.raises(BadSampleError, match=r"row 1, image: .* is a list, expected a file name"):
        MediaDataset(folder, folder / "m.json", **options)[0]


def test_a_column_that_every_row_needs(dataset):
    rows = ["clip.mp4,picture.png,one", "clip.mp4,,two"]
    with pytest.raises(BadSampleError, match=r"m\.csv: row 2 names no file under 'image', which this run needs of eve"):
        dataset(*rows, needed=("image",))[1]
    assert dataset(*rows, needed=("image",), on_bad_sample="skip")[1]["prompt"] == "one"


def test_rows_are_repeated(dataset):
    samples = dataset("clip.mp4,,one", ",picture.png,two", repeat=3)
    assert len(samples) == 6
    assert [samples[index]["prompt"] for index in (0, 1, 2, 5)] == ["one", "two", "one", "two"]


BAD = [
    ("gone.mp4,,x", r"m\.csv: row 2, video: .*gone\.mp4: there is no such file"),
    ("broken.mp4,,x", r"m\.csv: row 2, video: .*broken\.mp4: not a video that ffmpeg can read"),
    (",,x", r"m\.csv: row 2 names no file: expected one under 'image' or 'video'"),
    ("m.csv,,x", r"m\.csv: row 2, video: .*the ending '\.csv' is no image or video"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_sample_names_its_row_and_file(dataset, line, message):
    with pytest.raises(BadSampleError, match=message):
        dataset("clip.mp4,,ok", line)[1]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_or_is_skipped_for_the_next_row(dataset, line, message, caplog):
    samples = dataset("clip.mp4,,ok", line, on_bad_sample="skip")
    assert samples[1]["prompt"] == "ok"
    assert caplog.messages[0].startswith("skipped: ")
    assert len(samples) == 2


def test_nothing_but_bad_samples(dataset):
    with pytest.raises(DatasetError, match="none of its 2 rows can be read"):
        dataset("gone.mp4,,x", "gone.png,,x", on_bad_sample="skip")[0]


def test_a_data_set_without_its_column(folder):
    (folder / "m.csv").write_text("clip,prompt\nclip.mp4,x\n")
    with pytest.raises(DatasetError, match=r"no row has a column 'video', there are clip, prompt; --data_file_keys"):
        MediaDataset(folder, folder / "m.csv", file_keys=("video",), size=SIZE)


def test_a_folder_that_is_not_there(folder):
    with pytest.raises(DatasetError, match=r"there is no such folder; check --dataset_base_path"):
        MediaDataset(folder / "no", folder / "m.csv", file_keys=("video",), size=SIZE)


def test_a_worker_process_reads_the_same(dataset):
    samples = dataset("clip.mp4,,one", ",picture.png,two")
    loader = DataLoader(samples, batch_size=None, num_workers=1)
    assert [sample["prompt"] for sample in loader] == ["one", "two"]
