"""Data sets: from what people have on their disks to labelled crops, in parts."""
