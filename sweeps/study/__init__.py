"""The durable study: its location, lock and storage, and what must not have changed."""
