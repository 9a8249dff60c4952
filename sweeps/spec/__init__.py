"""What a sweep is: its YAML file, overrides, checks, and the registry of names."""
