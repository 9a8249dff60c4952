"""One trial as everyone knows it: its attributes, record, objectives, feasibility and files."""
