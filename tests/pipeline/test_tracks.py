"""Files with several video tracks: which is taken, and how another one is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.decoders.registry import load_decoder
from pipeline.frames import decode_seen
from pipeline.probe import probe
from pipeline.process import decode_jobs, plan_video
from pipeline.sampling import plan_spans
from pipeline.sources.find import find_videos
from pipeline.trim.cut import cut_video
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, Span, SpanJob, VideoFile, VideoInfo
from tests.helpers.videos import number_in, numbered_frame

PLAIN = ModelInput(4, Geometry(resize=112, crop=None))


def write_tracks(
    path: Path, *tracks: tuple[int, int, int], cover: bool = False, default: int = 0, matrices: Sequence[int] = ()
) -> Path:
    """A video with tracks of (first number, number of frames, width), the numbers in the pictures; 25 frames a second.

    Each track says that its colours are of one of ``matrices``, where there are any.
    """
    none = av.stream.Disposition(0)
    with av.open(str(path), "w") as container:
        streams: list[tuple[av.VideoStream, int, int]] = []
        for first, count, width in tracks:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "10"})
            stream.width, stream.height, stream.pix_fmt = width, 112, "yuv420p"
            if matrices:
                context = stream.codec_context
                context.colorspace = context.color_primaries = context.color_trc = matrices[len(streams)]
            stream.disposition = av.stream.Disposition.default if len(streams) == default else none
            streams.append((stream, first, count))
        if cover:
            picture = container.add_stream("mjpeg", rate=25)
            picture.width, picture.height, picture.pix_fmt = 320, 240, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        packets = []
        for stream, first, count in streams:
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(numbered_frame(first + number, stream.width, 112), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += stream.encode(frame)
            packets += stream.encode()
        if cover:
            frame = av.VideoFrame.from_ndarray(numbered_frame(0, 320, 240), format="rgb24")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            packets += [*picture.encode(frame.reformat(format="yuvj420p")), *picture.encode()]
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * (packet.time_base or 1))):
            container.mux(packet)
    return path


def numbers(path: Path, track: int | None, decoder: str = "pyav") -> list[int]:
    """The numbers of the frames that a model is shown of the file's first second."""
    (file,) = find_videos([path])
    assert isinstance(file, VideoFile)
    meta = probe(str(path), track=track)
    items = list(decode_jobs(plan_spans(VideoInfo("", file), meta, [Span(0.0, 1.0)], (PLAIN,)), load_decoder(decoder)))
    (clip,) = (item for item in items if isinstance(item, Clip))
    return [number_in(picture) for picture in clip.frames[0]]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_any_track_can_be_taken(tmp_path: Path, ending: str) -> None:
    path = write_tracks(tmp_path / f"a.{ending}", (0, 50, 160), (100, 50, 160))
    shown = [3, 9, 15, 21]
    assert numbers(path, None) == shown
    assert numbers(path, 1) == shown
    assert numbers(path, 2) == [100 + number for number in shown]
    assert numbers(path, 3) == shown, "of a file with fewer, the one that players take"
    found = [(meta.track, meta.num_tracks) for meta in (probe(str(path), track=track) for track in (None, 1, 2, 3))]
    assert found == [(1, 2), (1, 2), (2, 2), (1, 2)]


def test_the_best_track_need_not_be_the_first(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", (0, 50, 160), (100, 50, 320), default=1)
    best = probe(str(path))
    assert (best.track, best.num_tracks, best.stream_index, best.coded_width) == (2, 2, None, 320)
    first = probe(str(path), track=1)
    assert (first.track, first.num_tracks, first.stream_index, first.coded_width) == (1, 2, 0, 160)


def test_covers_and_previews_are_no_tracks(tmp_path: Path) -> None:
    covered = write_tracks(tmp_path / "a.mp4", (0, 50, 160), cover=True)
    with av.open(str(covered)) as container:
        assert len(container.streams.video) == 2
    preview = write_tracks(tmp_path / "b.mp4", (0, 1, 320), (0, 50, 160))
    for path in (covered, preview):
        for track in (None, 2):
            meta = probe(str(path), track=track)
            assert (meta.num_tracks, meta.num_frames) == (1, 50)
    assert numbers(preview, None) == [3, 9, 15, 21]


def test_other_decoders_read_the_track_or_say_that_they_cannot(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mp4", (0, 50, 160), (100, 50, 160))
    pytest.importorskip("decord")
    (file,) = find_videos([path])
    assert isinstance(file, VideoFile)
    (job,) = plan_video(file, Sampling(), [PLAIN], track=2)
    assert isinstance(job, SpanJob)
    assert (job.video.track, job.video.tracks) == (2, 2)
    with pytest.raises(VideoError, match="decord reads the video track that players take, and no other"):
        load_decoder("decord").decode(job)


def test_torchcodec_reads_the_track(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mp4", (0, 50, 160), (100, 50, 160))
    try:
        load_decoder("torchcodec")
    except UsageError as exc:
        pytest.skip(str(exc))
    assert numbers(path, 2, "torchcodec") == [103, 109, 115, 121]


def test_pieces_are_cut_from_the_track(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mp4", (0, 50, 160), (100, 50, 160))
    for number, span in enumerate((Span(0.4, 1.2), Span(0.5, 1.3))):
        output = tmp_path / f"{number}.mp4"
        cut_video(str(path), probe(str(path), track=2), span, output)
        seen = decode_seen(str(output), probe(str(output)), [Span(0.0, 0.4)], PLAIN)
        assert all(number_in(picture) >= 110 for picture in seen.frames[0])


def test_a_copied_piece_says_of_its_colours_what_its_own_track_says(tmp_path: Path) -> None:
    bt601, bt709 = 6, 1
    path = write_tracks(tmp_path / "a.mp4", (0, 50, 160), (100, 50, 240), matrices=(bt601, bt709))
    for track, matrix in ((1, bt601), (2, bt709)):
        cut = cut_video(str(path), probe(str(path), track=track), Span(0.0, 1.0), tmp_path / "piece.mp4")
        assert cut.how == "copied"
        with av.open(str(tmp_path / "piece.mp4"), options={"skip_frame": "all"}) as piece:  # what the container says
            assert piece.streams.video[0].codec_context.colorspace == matrix
