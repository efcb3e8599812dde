"""Where a face is in a picture: the square that a network looks at."""
