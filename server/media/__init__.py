"""The videos themselves as a browser asks for them: files, pictures, animations and pieces that it can play."""
