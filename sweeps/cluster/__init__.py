"""The Ray cluster of a sweep: joining or starting it, its jobs, secrets and storage."""
