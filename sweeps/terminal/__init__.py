"""What a terminal shows of a sweep: progress, the live view, tables."""
