"""Runs annotators of whole videos over a library: shots, subtitles, speech, text on screen."""
