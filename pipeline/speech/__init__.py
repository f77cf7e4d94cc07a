"""What a video says: its subtitles, beside it and inside it, and speech that a model hears. All become `Utterance` rows."""
