"""Files as Debian's ffmpeg makes them, of the kinds that people have; every sampled frame is held against ffmpeg's own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.decoders.registry import load_decoder
from pipeline.probe import probe
from pipeline.process import decode_jobs, plan_video
from pipeline.sources.find import find_videos
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, SpanDone, SpanJob, VideoFailed
from tests.helpers.videos import number_in, numbered_frame

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on this machine: apt install ffmpeg")

WIDTH, HEIGHT = 128, 64
DENSE = ModelInput(16, Geometry((HEIGHT, WIDTH), None))
NUM_FRAMES = 150

# What the copies are made from, by file; made when first asked for.
SOURCES = {
    "h264.mp4": "-c:v libx264 -preset veryfast -g 50 -bf 2",
    "plain.mp4": "-c:v libx264 -preset veryfast -g 50 -bf 0",
    "one_key.mp4": "-c:v libx264 -preset veryfast -g 9999 -bf 2",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=50:open-gop=0 -tag:v hvc1",
    "open.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=40:min-keyint=40:open-gop=1:bframes=4",
    "refresh.ts": "-c:v libx264 -preset veryfast -x264-params intra-refresh=1:keyint=30:bframes=0",
    "left_vp9.mp4": "-vf transpose=cclock -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -b:v 400k",
    "vp8.webm": "-c:v libvpx -deadline realtime -cpu-used 8 -g 50 -b:v 400k",
    "vp9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -b:v 400k",
    "av1.mp4": "-c:v libsvtav1 -preset 12 -g 50",
    "mpeg2.ts": "-c:v mpeg2video -g 12 -bf 2 -q:v 4",
    "mpeg4.avi": "-c:v mpeg4 -g 50 -q:v 4",
    "left.mp4": "-vf transpose=cclock -c:v libx264 -preset veryfast -g 50",
    "right.mp4": "-vf transpose=clock -c:v libx264 -preset veryfast",
    "upside_down.mp4": "-vf hflip,vflip -c:v libx264 -preset veryfast",
}

# Made of the numbered frames, all of which they show.
ENCODED = {
    "fragmented.mp4": "-c:v libx264 -g 25 -movflags +frag_keyframe+empty_moov",
    "fragmented_b.mp4": "-c:v libx264 -g 25 -bf 3 -movflags +empty_moov+default_base_moof -frag_duration 300000",
    "faststart.mov": "-c:v libx264 -movflags +faststart",
    "one_keyframe.mkv": "-c:v libx264 -g 9999",
    "one_keyframe.flv": "-c:v libx264 -g 9999",
    "interlaced.ts": "-c:v mpeg2video -flags +ildct+ilme -top 1 -g 12 -bf 2 -q:v 4",
    "interlaced.mpg": "-c:v mpeg2video -flags +ildct+ilme -top 0 -g 12 -bf 2 -q:v 4",
    "mbaff.ts": "-c:v libx264 -flags +ildct+ilme -x264-params tff=1 -bf 2 -g 50",
    "mbaff.mp4": "-c:v libx264 -flags +ildct+ilme -x264-params bff=1 -bf 2 -g 50",
    "fake_interlaced.ts": "-c:v libx264 -x264-params fake-interlaced=1 -g 50",
    "intra_refresh.ts": "-c:v libx264 -x264-params intra-refresh=1:keyint=30:bframes=0",
    "intra_refresh.mp4": "-c:v libx264 -x264-params intra-refresh=1:keyint=30:bframes=2",
    "open_gop.mkv": "-c:v libx264 -x264-params open-gop=1:keyint=30:bframes=3",
    "vp9.ivf": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 400k",
    "vp8.ivf": "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 400k -auto-alt-ref 1 -lag-in-frames 5",
    "av1.ivf": "-c:v libsvtav1 -preset 12",
    "paused.mp4": "-vf setpts='N/25/TB+gt(N\\,60)*7/TB' -fps_mode vfr -c:v libx264 -bf 2",
    "slowing.webm": "-vf setpts='(N+N*N/100)/25/TB' -fps_mode vfr -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "odd.mp4": "-vf scale=161:121 -pix_fmt yuv444p -c:v libx264",
    "odd.webm": "-vf scale=161:121 -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "tiny.avi": "-vf scale=66:34 -c:v huffyuv",
    "wide_pixels.mkv": "-c:v libx264 -aspect 16:9",
    "late_in_day.ts": "-c:v libx264 -output_ts_offset 90000",
    "wraps.ts": "-c:v libx264 -bf 2 -output_ts_offset 95440",
    "long_ago.mkv": "-c:v libx264 -output_ts_offset 7000",
    "blu_ray.m2ts": "-c:v libx264 -bf 2 -mpegts_m2ts_mode 1",
    "film.vob": "-c:v mpeg2video -g 12 -bf 2 -q:v 4 -f vob",
    "film.mpg": "-c:v mpeg1video -g 12 -bf 2 -q:v 4",
    "film.ogv": "-c:v libtheora -q:v 8",
    "film.wmv": "-c:v wmv2 -q:v 4",
    "film.asf": "-c:v msmpeg4 -q:v 4",
    "film.3gp": "-vf scale=176:144 -c:v h263 -q:v 4",
    "film.rm": "-vf scale=176:144 -c:v rv20 -q:v 4",
    "film.mxf": "-c:v mpeg2video -g 12 -bf 2 -q:v 4",
    "film.nut": "-c:v ffv1",
    "film.gif": "",
    "xvid.avi": "-c:v libxvid -g 50 -bf 0 -q:v 4",
    "b_frames.avi": "-c:v libx264 -bf 3 -g 50",
    "b_frames_mpeg4.avi": "-c:v mpeg4 -bf 2 -g 50 -q:v 4",
    "prores.mov": "-c:v prores_ks -profile:v 0",
    "timecode.mov": "-c:v libx264 -timecode 01:02:03:04",
    "ten_bit.mkv": "-pix_fmt yuv420p10 -c:v libx264",
    "hint.mp4": "-c:v libx264 -movflags rtphint",
}

# Copied without encoding anew: the numbers of their frames, and how.
COPIED: dict[str, tuple[Sequence[int], str]] = {
    "cut.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {h264.mp4} -c copy"),
    "cut_plain.mp4": (range(58, 108), "-ss 2.3 -i {plain.mp4} -t 2 -c copy"),
    "cut.mov": ([*range(58, 121), 122], "-ss 2.3 -i {h264.mp4} -t 2.5 -c copy"),
    "cut.mkv": (range(50, NUM_FRAMES), "-ss 2.3 -i {h264.mp4} -c copy"),
    "cut.ts": (range(50, NUM_FRAMES), "-ss 2.3 -i {h264.mp4} -c copy"),
    "cut.avi": (range(50, NUM_FRAMES), "-ss 2.3 -i {plain.mp4} -c copy"),
    "cut_b_frames.avi": (range(50, NUM_FRAMES), "-ss 2.3 -i {h264.mp4} -c copy"),
    "cut.flv": (range(50, NUM_FRAMES), "-ss 2.3 -i {h264.mp4} -c copy"),
    "cut_hevc.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {hevc.mp4} -c copy -tag:v hvc1"),
    "cut_hevc.mkv": (range(50, NUM_FRAMES), "-ss 2.3 -i {hevc.mp4} -c copy"),
    "cut_hevc.ts": (range(50, NUM_FRAMES), "-ss 2.3 -i {hevc.mp4} -c copy"),
    "cut_open.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {open.mp4} -c copy -tag:v hvc1"),
    "cut_open.mkv": (range(40, NUM_FRAMES), "-ss 2.3 -i {open.mp4} -c copy"),
    "cut.webm": (range(50, NUM_FRAMES), "-ss 2.3 -i {vp9.webm} -c copy"),
    "cut_vp8.webm": (range(50, NUM_FRAMES), "-ss 2.3 -i {vp8.webm} -c copy"),
    "cut_vp9.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {vp9.webm} -c copy"),
    "cut_av1.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {av1.mp4} -c copy"),
    "cut_av1.webm": (range(50, NUM_FRAMES), "-ss 2.3 -i {av1.mp4} -c copy"),
    "cut_mpeg2.ts": (range(58, NUM_FRAMES), "-ss 2.3 -i {mpeg2.ts} -c copy"),
    "cut_mpeg2.mkv": (range(58, NUM_FRAMES), "-ss 2.3 -i {mpeg2.ts} -c copy"),
    "cut_mpeg4.avi": (range(50, NUM_FRAMES), "-ss 2.3 -i {mpeg4.avi} -c copy"),
    "cut_mpeg4.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {mpeg4.avi} -c copy"),
    "cut_one_key.mp4": (range(58, NUM_FRAMES), "-ss 2.3 -i {one_key.mp4} -c copy"),
    "cut_end.mp4": ([*range(59), 61], "-i {h264.mp4} -t 2.3 -c copy"),
    "cut_twice.mp4": (range(76, NUM_FRAMES), "-ss 0.7 -i {cut.mp4} -c copy"),
    "no_cues.mkv": (range(NUM_FRAMES), "-i {h264.mp4} -c copy -f matroska -live 1"),
    "negative.mp4": (range(NUM_FRAMES), "-i {h264.mp4} -c copy -movflags negative_cts_offsets"),
    "sound_longer.mp4": (range(NUM_FRAMES), "-i {h264.mp4} -f lavfi -i sine=300:d=12 -map 0:v -map 1:a -c:v copy -c:a aac"),
    "sound_longer.mkv": (range(NUM_FRAMES), "-i {h264.mp4} -f lavfi -i sine=300:d=12 -map 0:v -map 1:a -c:v copy -c:a aac"),
    "sound_longer.flv": (
        range(NUM_FRAMES),
        "-i {h264.mp4} -f lavfi -i sine=300:d=12 -map 0:v -map 1:a -c:v copy -c:a aac -ar 44100",
    ),
    "sound_longer.ts": (range(NUM_FRAMES), "-i {h264.mp4} -f lavfi -i sine=300:d=12 -map 0:v -map 1:a -c:v copy -c:a mp2"),
    "sound_longer.avi": (range(NUM_FRAMES), "-i {mpeg4.avi} -f lavfi -i sine=300:d=12 -map 0:v -map 1:a -c:v copy -c:a mp3"),
    "sound_shorter.mpg": (
        range(NUM_FRAMES),
        "-i {mpeg2.ts} -f lavfi -i sine=300:d=2 -map 0:v -map 1:a -c:v copy -c:a mp2 -f vob",
    ),
    "sound_earlier.mp4": (
        range(NUM_FRAMES),
        "-itsoffset 1.5 -i {h264.mp4} -f lavfi -i sine=300:d=7 -map 0:v -map 1:a -c:v copy -c:a aac",
    ),
    "two_tracks.mp4": (range(NUM_FRAMES), "-i {h264.mp4} -i {one_key.mp4} -map 0:v -map 1:v -c copy"),
    "two_tracks.mkv": (range(NUM_FRAMES), "-i {h264.mp4} -i {one_key.mp4} -map 0:v -map 1:v -c copy"),
    "cover.mp4": (
        range(NUM_FRAMES),
        "-i {h264.mp4} -f lavfi -i color=red:d=0.04 -map 0 -map 1 -c:v:0 copy -c:v:1 mjpeg -frames:v:1 1 "
        "-disposition:v:1 attached_pic",
    ),
    "left.mp4": (range(NUM_FRAMES), "-i {left.mp4} -c copy -metadata:s:v rotate=270"),
    "right.mov": (range(NUM_FRAMES), "-i {right.mp4} -c copy -metadata:s:v rotate=90"),
    "upside_down.mp4": (range(NUM_FRAMES), "-i {upside_down.mp4} -c copy -metadata:s:v rotate=180"),
}

# Containers that are found under the endings of MP4, and what they hold.
FOREIGN = [("flv", "h264.mp4"), ("vob", "mpeg2.ts"), ("mpegts", "h264.mp4"), ("matroska", "h264.mp4")]

Sources = Callable[[str], Path]


def ffmpeg(arguments: str, *, given: bytes = b"") -> None:
    """Run it in one thread: its encoders' threads wait for each other where others have the cores."""
    *words, target = shlex.split(arguments)
    command = ["ffmpeg", "-v", "error", "-y", *words, "-threads", "1", target]
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """The file of a name among `SOURCES`, or the numbered frames themselves."""
    folder = tmp_path_factory.mktemp("sources")
    frames = b"".join(numbered_frame(number, 160, 120).tobytes() for number in range(NUM_FRAMES))
    ffmpeg(f"-f rawvideo -s 160x120 -pix_fmt rgb24 -r 25 -i - -pix_fmt yuv420p {folder / 'numbers.y4m'}", given=frames)

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            how = f"-i {folder / 'numbers.y4m'} {SOURCES[name]}" if name in SOURCES else filled(COPIED[name][1], find)
            ffmpeg(f"{how} {path}")
        return path

    return find


def filled(arguments: str, sources: Sources) -> str:
    """Put sources' paths where their names stand in braces."""
    head, *rest = arguments.split("{")
    return head + "".join(f"{sources(part.split('}')[0])}{part.split('}')[1]}" for part in rest)


def sampled(path: Path) -> tuple[list[int], list[int], list[str]]:
    """What vidsift shows its models of a file: for each frame its index and its number; and what was wrong."""
    (file,) = find_videos([path])
    assert not isinstance(file, tuple)
    items = plan_video(file, Sampling(), (DENSE,))
    failed = [item.reason for item in items if isinstance(item, VideoFailed)]
    assert not failed
    jobs = [item for item in items if isinstance(item, SpanJob)]
    done = list(decode_jobs(jobs, load_decoder("pyav")))
    problems = [problem.reason for item in done if isinstance(item, SpanDone) for problem in item.problems]
    index = [int(job.frame_index[pick]) for job in jobs for picks in job.picks for pick in picks[0]]
    return index, [number_in(frame) for item in done if isinstance(item, Clip) for frame in item.frames[0]], problems


def check(path: Path, numbers: Sequence[int], *, problems: Sequence[str] = ()) -> None:
    """All of ``numbers`` are counted, every sampled frame shows the right one, and nothing is called wrong that is not."""
    num_frames = probe(str(path)).num_frames
    index, shown, found = sampled(path)
    assert (num_frames, found) == (len(numbers), list(problems))
    assert shown == [numbers[place] for place in index]
    assert len(set(index)) >= min(len(numbers), 16)


@pytest.mark.parametrize("name", ENCODED)
def test_what_is_encoded_shows_all_frames(tmp_path: Path, sources: Sources, name: str) -> None:
    ffmpeg(f"-i {sources('numbers.y4m')} {ENCODED[name]} {tmp_path / name}")
    check(tmp_path / name, range(NUM_FRAMES))


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_shows_what_players_show(tmp_path: Path, sources: Sources, name: str) -> None:
    numbers, how = COPIED[name]
    ffmpeg(f"{filled(how, sources)} {tmp_path / name}")
    check(tmp_path / name, numbers)


@pytest.mark.parametrize(
    ("container", "source", "ending"),
    [
        *((container, source, ending) for container, source in FOREIGN for ending in (".mp4", ".mov", ".m4v")),
        ("mp4", "h264.mp4", ".mkv"),
        ("mp4", "h264.mp4", ".avi"),
        ("mp4", "h264.mp4", ".ts"),
        ("avi", "mpeg4.avi", ".mp4"),
        ("webm", "vp9.webm", ".mp4"),
        ("ivf", "vp9.webm", ".webm"),
    ],
)
def test_the_content_says_what_a_file_is(tmp_path: Path, sources: Sources, container: str, source: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    ffmpeg(f"-i {sources(source)} -c copy -f {container} {path}")
    check(path, range(NUM_FRAMES))


UNTIMED = "its frames carry no times: 25 a second are assumed"


@pytest.mark.parametrize(
    ("name", "how", "problems"),
    [
        ("a.h264", "-c:v libx264 -bf 0", [UNTIMED]),
        ("b.h264", "-c:v libx264 -bf 3", [UNTIMED]),
        ("a.hevc", "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3", [UNTIMED]),
        ("a.m2v", "-c:v mpeg2video -bf 2 -q:v 4", []),
        ("a.m1v", "-c:v mpeg1video -q:v 4", []),
        ("a.mjpeg", "-c:v mjpeg -q:v 4", []),
    ],
)
def test_raw_streams(tmp_path: Path, sources: Sources, name: str, how: str, problems: list[str]) -> None:
    ffmpeg(f"-i {sources('numbers.y4m')} {how} {tmp_path / name}")
    check(tmp_path / name, range(NUM_FRAMES), problems=problems)


def test_raw_pictures(sources: Sources) -> None:
    check(sources("numbers.y4m"), range(NUM_FRAMES))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, "") for name in ("%d.ts", "%d.mp4", "%d.mkv", "%d.mov", "%d.flv")),
        *((name, "-reset_timestamps 1") for name in ("%d.ts", "%d.mp4", "%d.mkv", "%d.mov", "%d.flv", "%d.avi")),
    ],
)
def test_segments_are_whole(tmp_path: Path, sources: Sources, name: str, options: str) -> None:
    ffmpeg(f"-i {sources('plain.mp4')} -c copy -f segment -segment_time 2 {options} {tmp_path / name}")
    pieces = sorted(tmp_path.iterdir())
    assert len(pieces) == 3
    for number, piece in enumerate(pieces):
        check(piece, range(50 * number, 50 * number + 50))


def test_segments_for_streaming_are_whole(tmp_path: Path, sources: Sources) -> None:
    """HLS's fragments, each put behind the header, as people who download them do: from the middle of a stream."""
    how = f"-hls_segment_type fmp4 -hls_time 2 -hls_list_size 0 -hls_segment_filename {tmp_path}/%d.m4s"
    ffmpeg(f"-i {sources('h264.mp4')} -c copy -f hls {how} {tmp_path}/a.m3u8")
    for number in range(3):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes((tmp_path / "init.mp4").read_bytes() + (tmp_path / f"{number}.m4s").read_bytes())
        check(path, range(50 * number, 50 * number + 50))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov", "a.flv"])
def test_what_the_concat_demuxer_joins(tmp_path: Path, sources: Sources, name: str) -> None:
    (tmp_path / "list.txt").write_text(f"file {sources('plain.mp4')}\n" * 2)
    ffmpeg(f"-f concat -safe 0 -i {tmp_path / 'list.txt'} -c copy {tmp_path / name}")
    check(tmp_path / name, [*range(NUM_FRAMES), *range(NUM_FRAMES)])


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.ts", "h264.mp4"),
        ("b.ts", "mpeg2.ts"),
        ("c.ts", "hevc.mp4"),
        ("a.mpg", "mpeg2.ts"),
        ("a.vob", "mpeg2.ts"),
        ("a.mkv", "h264.mp4"),
        ("b.mkv", "hevc.mp4"),
        ("a.webm", "vp9.webm"),
        ("b.webm", "vp8.webm"),
    ],
)
def test_what_cat_joins_goes_on_counting(tmp_path: Path, sources: Sources, name: str, source: str) -> None:
    ffmpeg(f"-i {sources(source)} -c copy {tmp_path / name}")
    joined = (tmp_path / name).rename(tmp_path / f"joined-{name}")
    joined.write_bytes(joined.read_bytes() * 2)
    check(joined, [*range(NUM_FRAMES), *range(NUM_FRAMES)])


def test_what_cat_joins_may_change_its_size(tmp_path: Path, sources: Sources) -> None:
    ffmpeg(f"-i {sources('h264.mp4')} -c copy {tmp_path / '1.ts'}")
    ffmpeg(f"-i {sources('h264.mp4')} -vf scale=320:180 -c:v libx264 {tmp_path / '2.ts'}")
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "1.ts").read_bytes() + (tmp_path / "2.ts").read_bytes())
    check(joined, [*range(NUM_FRAMES), *range(NUM_FRAMES)])


@pytest.mark.parametrize(
    ("source", "name", "clear"),
    [
        *(("plain.mp4", f"a.{ending}", 50) for ending in ("ts", "mkv", "mp4", "mov", "flv", "avi")),
        *(("h264.mp4", f"a.{ending}", 50) for ending in ("ts", "mkv", "mp4", "flv")),
        *(("hevc.mp4", f"a.{ending}", 50) for ending in ("ts", "mkv", "mp4")),
        *(("open.mp4", f"a.{ending}", 50) for ending in ("ts", "mkv", "mp4")),
        *(("mpeg2.ts", f"a.{ending}", 24) for ending in ("ts", "mkv", "mpg", "vob")),
        *(("mpeg4.avi", f"a.{ending}", 50) for ending in ("avi", "mp4", "mkv")),
        *(("vp8.webm", f"a.{ending}", 50) for ending in ("webm", "mkv")),
        *(("vp9.webm", f"a.{ending}", 50) for ending in ("webm", "mkv", "mp4")),
        *(("av1.mp4", f"a.{ending}", 50) for ending in ("webm", "mp4")),
        *(("refresh.ts", f"a.{ending}", 90) for ending in ("ts", "mkv", "mp4")),
    ],
)
def test_what_begins_between_keyframes(tmp_path: Path, sources: Sources, source: str, name: str, clear: int) -> None:
    """Frames before the first keyframe show nothing or are damaged; all from number ``clear`` on are right."""
    path = tmp_path / name
    ffmpeg(f"-i {sources(source)} -c copy -copyinkf -ss 0.8 {path}")
    index, shown, _ = sampled(path)
    num_frames = probe(str(path)).num_frames
    assert num_frames in range(126, 132)
    first = NUM_FRAMES - num_frames
    pairs = [(place + first, number) for place, number in zip(index, shown, strict=True) if place + first >= clear]
    assert len(pairs) >= 6
    assert [number for _, number in pairs] == [number for number, _ in pairs]


@pytest.mark.parametrize("source", ["left.mp4", "left_vp9.mp4"])
def test_what_begins_between_keyframes_is_turned_all_the_same(tmp_path: Path, sources: Sources, source: str) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg(f"-i {sources(source)} -c copy -copyinkf -ss 0.8 -metadata:s:v rotate=270 {path}")
    assert probe(str(path)).rotation_deg == -90


@pytest.mark.parametrize(
    "name", ["a.mp4", "a.mkv", "a.ts", "a.webm", "a.avi", "a.mpg", "a.flv", "a.mov", "a.gif", "a.3gp", "a.ogv"]
)
def test_a_video_of_one_frame(tmp_path: Path, sources: Sources, name: str) -> None:
    ffmpeg(f"-i {sources('numbers.y4m')} -frames:v 1 -vf scale=176:144 {tmp_path / name}")
    check(tmp_path / name, [0])


def test_frames_that_were_left_out(tmp_path: Path, sources: Sources) -> None:
    how = """-vf "select='mod(n,7)'" -fps_mode vfr -c:v libx264 -bf 2"""
    ffmpeg(f"-i {sources('numbers.y4m')} {how} {tmp_path / 'a.mkv'}")
    check(tmp_path / "a.mkv", [number for number in range(NUM_FRAMES) if number % 7])
