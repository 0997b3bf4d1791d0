"""Image files: which they are, read, decoded, upright, and what EXIF tells of them."""
