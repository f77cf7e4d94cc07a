"""Text on screen: which frames are read, what is read in each, and how long each line can be read."""
