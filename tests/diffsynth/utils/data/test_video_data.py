"""VideoData gives exactly the frames there are, in the size and number asked for."""

from __future__ import annotations

import gc
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from diffsynth.utils.data import VideoData, save_video

pytest.importorskip("imageio_ffmpeg", reason="needs imageio[ffmpeg]")


def levels(length: int, height: int = 32, width: int = 48) -> list[Image.Image]:
    return [Image.new("RGB", (width, height), (number * 5,) * 3) for number in range(length)]


def level(frame: Image.Image) -> int:
    """Number of one of the frames above."""
    return round(np.asarray(frame).mean() / 5)


@pytest.fixture
def video(tmp_path):
    save_video(levels(40), tmp_path / "video.mp4", fps=15)
    return tmp_path / "video.mp4"


def test_every_frame_in_any_order(video):
    data = VideoData(video)
    assert len(data) == 40
    assert [level(frame) for frame in data] == list(range(40))
    assert [level(frame) for frame in data.raw_data()] == list(range(40))
    order = [3, 39, 0, 0, 1, 17, 16, -1, -40]
    assert [level(data[number]) for number in order] == [number % 40 for number in order]
    assert [level(frame) for frame in data[5:20:7]] == [5, 12, 19]
    assert (data[0].size, data[0].mode) == ((48, 32), "RGB")


def test_frames_of_an_uneven_rate_are_neither_repeated_nor_left_out(tmp_path):
    path = tmp_path / "uneven.mp4"
    save_video(levels(12), path, fps=10, ffmpeg_params=["-vf", "setpts=N*(N+1)/20/TB", "-fps_mode", "vfr"])
    assert [level(frame) for frame in VideoData(path)] == list(range(12))


def test_numbers_beyond_the_end(video):
    data = VideoData(video)
    with pytest.raises(IndexError, match=r"video\.mp4: frame 40 asked for, there are 40"):
        data[40]
    with pytest.raises(IndexError, match="frame -41 asked for"):
        data[-41]


def test_length(video):
    data = VideoData(video)
    data.set_length(7)
    assert len(data) == 7
    assert [level(frame) for frame in data] == list(range(7))
    assert level(data[-1]) == 6
    with pytest.raises(IndexError):
        data[7]
    data.set_length(40)
    assert len(data) == 40
    for length in (41, 0, -1, 2.5):
        with pytest.raises(ValueError, match=rf"video\.mp4: {length} frames asked for, there are 40"):
            data.set_length(length)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 96), (40, 10), (9, 99)])
def test_cropped_around_the_centre_and_resized(tmp_path, height, width):
    """A cross of two colours stays in the middle, and its arms as thick as the picture is large."""
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:, 55:65, 0] = picture[35:45, :, 1] = 255
    Image.fromarray(picture).save(tmp_path / "0.png")
    frame = VideoData(image_folder=tmp_path, height=height, width=width)[0]
    assert frame.size == (width, height)
    pixels = np.asarray(frame, np.float64)
    columns, rows = pixels[..., 0].sum(0), pixels[..., 1].sum(1)
    assert np.average(np.arange(width), weights=columns) == pytest.approx((width - 1) / 2, abs=0.1)
    assert np.average(np.arange(height), weights=rows) == pytest.approx((height - 1) / 2, abs=0.1)
    scale = max(height / 80, width / 120)
    assert columns.mean() / 255 / height * width == pytest.approx(10 * scale, rel=0.1)


def test_shape_can_be_set_later(video):
    data = VideoData(video)
    data.set_shape(16, 20)
    assert data[3].size == (20, 16)
    assert level(data[3]) == 3
    for shape in ((16, None), (0, 16), (-1, 16), ("16", "16"), (16.5, 16)):
        with pytest.raises(ValueError, match=r"video\.mp4: height=.*, width=.*, expected two whole numbers above 0"):
            data.set_shape(*shape)
    with pytest.raises(ValueError, match=r"height=None, width=16, expected two whole numbers"):
        VideoData(video, width=16)


def test_folders_go_by_the_numbers_in_the_names(tmp_path):
    for number, frame in enumerate(levels(12)):
        frame.save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    data = VideoData(image_folder=str(tmp_path))
    assert [level(frame) for frame in data] == list(range(12))


def test_images_are_saved(video, tmp_path):
    data = VideoData(str(video), height=16, width=16)
    data.set_length(11)
    data.save_images(tmp_path / "out")
    saved = VideoData(image_folder=tmp_path / "out")
    assert [level(frame) for frame in saved] == list(range(11))
    assert saved[0].size == (16, 16)


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.mp4: there is no such video file"):
        VideoData(tmp_path / "absent.mp4", height=480, width=832)
    with pytest.raises(FileNotFoundError, match="absent: there is no such folder of images"):
        VideoData(image_folder=tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no image in the folder, expected files ending in \.png"):
        VideoData(image_folder=tmp_path)
    for arguments in ({}, {"video_file": "a.mp4", "image_folder": "b"}):
        with pytest.raises(ValueError, match="takes video_file or image_folder, one of the two"):
            VideoData(**arguments)


@pytest.mark.parametrize("content", [b"", b"this is no video\n" * 100], ids=["empty", "text"])
def test_files_that_hold_no_video(tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.mp4: not a video that ffmpeg can read \(.+\)$"):
        VideoData(path)


def test_a_video_cut_off_before_its_index(video):
    os.truncate(video, 1000)
    with pytest.raises(ValueError, match=r"video\.mp4: not a video that ffmpeg can read"):
        VideoData(video)


def test_a_video_that_breaks_off(tmp_path):
    path = tmp_path / "video.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
    save_video(noise, path, fps=4)
    data = VideoData(path)
    assert len(data) == 20
    data[0]
    os.truncate(path, 100)
    with pytest.raises(ValueError, match=r"video\.mp4: "):
        data.raw_data()[0]


def test_a_folder_with_a_broken_image(tmp_path):
    (tmp_path / "0.png").write_text("no image")
    with pytest.raises(ValueError, match=r"0\.png: not an image that can be read"):
        VideoData(image_folder=tmp_path)[0]


def test_decoders_end_with_the_last_frame_with_close_and_with_the_object(video):
    processes = []

    def opened():
        data = VideoData(video)
        processes.append(data._source._process)
        return data

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read = opened()
        assert len(list(read)) == 40
        closed = opened()
        assert level(closed[3]) == 3
        closed.close()
        closed.close()
        with opened() as left:
            assert level(left[0]) == 0
        dropped = opened()
        del dropped
        gc.collect()
        assert [process.poll() is not None for process in processes] == [True] * 4
        assert [pipe.closed for process in processes for pipe in (process.stdin, process.stdout)] == [True] * 8
        assert [level(read[39]), level(closed[4]), level(left[5])] == [39, 4, 5]
        for data in (read, closed, left):
            data.close()
    assert not [one for one in seen if issubclass(one.category, ResourceWarning)]


def test_threads_share_one(video):
    numbers = [number % 40 for number in range(0, 200, 3)]
    with VideoData(video) as data, ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda number: level(data[number]), numbers)) == numbers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_a_decoder_of_its_own(video):
    with VideoData(video) as data:
        assert level(data[0]) == 0
        child = os.fork()
        if child == 0:
            os._exit(10 * level(data[2]) + level(data[1]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 21
        assert [level(data[number]) for number in (1, 2)] == [1, 2]


def test_it_can_be_sent_to_another_process(video):
    sent = pickle.loads(pickle.dumps(VideoData(video, height=16, width=16)))
    assert (level(sent[1]), sent[1].size, len(sent)) == (1, (16, 16), 40)
