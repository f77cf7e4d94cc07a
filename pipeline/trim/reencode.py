"""Encodes a piece of a video anew: from any frame to any other, each at its own time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.container.reading import decode, describe, open_video, packets, video_stream
from pipeline.picture.colour import DOLBY_VISION, Stated, is_dolby_ipt
from pipeline.sampling import frames_on_screen, keyframe_before
from pipeline.trim.audio import sound_of
from pipeline.trim.form import PieceForm
from pipeline.trim.timestamps import (
    Cut,
    NonMonotonicTimestamps,
    TrimNotPossible,
    disappears_s,
    frame_start_s,
    last_before,
    seconds_to_pts,
)
from pipeline.trim.video_encoder import Picture
from schemas.records import Span
from schemas.video_meta import Keyframe, VideoMeta


def encode_from_keyframe(path: str, meta: VideoMeta, span: Span, output: Path, form: PieceForm) -> Cut:
    """`encode` from the keyframe before the piece; frames are counted where the container's times cannot be used."""
    try:
        return encode(path, meta, span, output, form, seek=True, counted=not meta.timed)
    except NonMonotonicTimestamps:
        return encode(path, meta, span, output, form, seek=True, counted=True)


def encode(path: str, meta: VideoMeta, span: Span, output: Path, form: PieceForm, *, seek: bool, counted: bool) -> Cut:
    """Write a piece, beginning with the frame on screen at its start.

    Args:
        path: the video.
        meta: its metadata.
        span: the piece.
        output: the file to write.
        form: how it is encoded.
        seek: decode from the keyframe before the piece, and not from the beginning.
        counted: place frames by their order, and not by the times that they come with.

    Raises:
        TrimNotPossible: there is no frame; with ``seek`` also where the first is missing, or times go back.
        av.FFmpegError: the video cannot be read, or the file cannot be written.
    """
    piece_frames = _PieceFrames(meta, span)
    keyframe = keyframe_before(meta.keyframes, piece_frames.first_pts) if seek else None
    if counted:
        piece_frames.count_from(keyframe)
    problems: set[str] = set()
    with open_video(path) as source, av.open(str(output), "w", format="mp4", options=dict(form.mp4)) as target:
        video = video_stream(source, meta.stream_index)
        video.codec_context.thread_count = 1
        stated, sound = Stated.of(video.codec_context), sound_of(source, target, meta, span, form.sound)
        picture: Picture | None = None
        for packet in packets(source, video, sound.sources, start=keyframe, parts=meta.parts):
            if packet.stream is not video:
                sound.take(packet)
            elif not piece_frames.done:
                frames = _decoded(packet, problems)
                if picture is None and frames:  # only now is it known what it is to say of its colours
                    picture = Picture(target, meta, stated, frames[0], form)
                    problems |= {DOLBY_VISION} if is_dolby_ipt(frames[0]) else set()
                    sound.begin()
                for frame, pts in piece_frames.of(frames, strict=seek):
                    assert picture is not None
                    end_s = min(span.end_s, disappears_s(meta, pts))
                    picture.take(frame, frame_start_s(meta, pts) - span.start_s, end_s - span.start_s)
            if piece_frames.done and sound.done:
                break
        if picture is not None:
            picture.finish()
            sound.finish()
    if piece_frames.latest_pts is None:
        raise TrimNotPossible("; ".join(sorted(problems)))
    problems |= {"its last frames could not be decoded"} if not piece_frames.done else set()
    problems |= {"its sound is damaged"} if sound.damaged else set()
    end_s = min(span.end_s, disappears_s(meta, piece_frames.latest_pts))
    return Cut("re-encoded", span.start_s, end_s, bool(sound.sources), tuple(sorted(problems)))


def _decoded(packet: av.Packet[Any], problems: set[str]) -> list[av.VideoFrame]:
    try:
        return decode(packet)
    except av.FFmpegError as exc:
        problems.add(f"a packet could not be decoded: {describe(exc)}")
        return []


class _PieceFrames:
    """Picks the frames of a piece out of those that have to be decoded on the way.

    Attributes:
        first_pts: the frame on screen at the piece's start.
        latest_pts: the last frame that was picked; None before there is one.
        done: whether all have been picked.
    """

    def __init__(self, meta: VideoMeta, span: Span) -> None:
        self.first_pts = int(meta.pts[frames_on_screen(meta.frame_times_s, np.array([span.start_s]))[0]])
        self.latest_pts: int | None = None
        self.done = False
        self._meta = meta
        self._last_pts = max(self.first_pts, last_before(meta, seconds_to_pts(meta, span.end_s)))
        self._index: int | None = None

    def count_from(self, keyframe: Keyframe | None) -> None:
        """Give frames the times of `VideoMeta.pts` in turn from ``keyframe`` on, for containers that store no times."""
        self._index = int(np.searchsorted(self._meta.pts, keyframe.pts)) if keyframe else 0

    def of(self, frames: Iterable[av.VideoFrame], *, strict: bool) -> Iterator[tuple[av.VideoFrame, int]]:
        """Those of ``frames`` that belong to the piece, each with the tick at which it appears.

        Raises:
            TrimNotPossible: with ``strict``, where the first frame is missing, or times go back.
        """
        for frame in frames:
            pts = frame.pts
            if self._index is not None:
                pts = int(self._meta.pts[min(self._index, self._meta.num_frames - 1)])
                self._index += 1
            if pts is not None and pts >= self.first_pts and self._comes_next(pts, strict):
                self.done |= pts >= self._last_pts
                if pts <= self._last_pts:
                    self.latest_pts = pts
                    yield frame, pts

    def _comes_next(self, pts: int, strict: bool) -> bool:
        if self.latest_pts is None:
            if strict and pts > self.first_pts:
                raise TrimNotPossible("its first frame does not come")
            return True
        if pts <= self.latest_pts and strict and self._index is None:
            raise NonMonotonicTimestamps("its frames come with times that go back")
        return pts > self.latest_pts
