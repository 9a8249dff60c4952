"""Data sets as the command line handles them: fetch, check, build."""
