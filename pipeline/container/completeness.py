"""Tells files that were cut off: their headers promise more than they hold."""

from __future__ import annotations

from fractions import Fraction

import av

from pipeline.container.reading import READING_ERRORS

# Shorter than its header says by more than this counts as cut off: real headers round, and differ by a frame or two.
_MISSING_LEAST_S = 0.5
_MISSING_SHARE = 0.02

# Demuxers whose containers state their duration in the header. For all others FFmpeg takes it from the last packets, or
# guesses it from the file's size.
_STATES_DURATION = frozenset({"matroska,webm", "flv", "asf", "mxf", "rm"})


def what_is_missing(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    *,
    num_packets: int,
    end_pts: int,
    longest_gap_s: float,
) -> str | None:
    """A sentence on what the header promises and the file lacks; None for a whole file. Moves the container's position.

    Args:
        container: has been read to its end.
        stream: the video.
        num_packets: number of packets that the stream has.
        end_pts: the tick at which its last frame disappears.
        longest_gap_s: seconds that its longest frame is shown.
    """
    name, time_base = container.format.name, Fraction(stream.time_base or 1)
    if name.startswith("mov"):  # the index says where each sample is; durations are of edit lists, or of the whole stream
        promised = max(stream.frames, len(stream.index_entries))
        if num_packets < promised * (1 - _MISSING_SHARE) - 1:
            return f"cut off: the header promises {promised} frames, the file holds {num_packets}"
        return None
    if name == "avi" and stream.frames:
        # Its header counts the stream's ticks, which may be half a frame.
        promised_s, found_s = float(stream.frames * time_base), float(end_pts * time_base)
        if _falls_short(found_s, promised_s, longest_gap_s):
            return f"cut off: the header promises {stream.frames} frames, the file holds {num_packets}"
        return None
    if name not in _STATES_DURATION or container.duration is None:
        return None
    # Some writers count from the first frame, others from 0: the one that asks for less is believed.
    promised_s, found_s = container.duration / av.time_base, float(end_pts * time_base)
    if promised_s - found_s > _MISSING_LEAST_S:  # durations may be the sound's
        found_s = max(found_s, _end_of_any_stream_s(container))
    if _falls_short(found_s, promised_s, longest_gap_s):
        return f"cut off: the header promises {promised_s:.1f} s, frames end at {found_s:.1f} s"
    return None


def _falls_short(found_s: float, promised_s: float, longest_gap_s: float) -> bool:
    return promised_s - found_s > max(_MISSING_LEAST_S, _MISSING_SHARE * promised_s, 1.5 * longest_gap_s)


def _end_of_any_stream_s(container: av.container.InputContainer) -> float:
    """The end of the longest stream, in seconds of the container's own clock."""
    end_s = 0.0
    container.seek(container.start_time or 0)
    try:
        for packet in container.demux():
            time = packet.dts if packet.dts is not None else packet.pts
            if time is not None and packet.time_base:
                end_s = max(end_s, float((time + (packet.duration or 0)) * packet.time_base))
    except READING_ERRORS:
        return end_s  # where it breaks off is where it ends
    return end_s
