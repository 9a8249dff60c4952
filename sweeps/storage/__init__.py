"""Files that a sweep shares with other processes, machines and a bucket."""
