"""Search: how the parameters of trials are chosen, and which trials end early."""
