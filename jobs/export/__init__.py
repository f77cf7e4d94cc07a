"""Export: moments as video files, pictures, chapters and edit lists."""
