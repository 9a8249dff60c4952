"""Terminal output of a sweep: progress, the live view, tables."""
