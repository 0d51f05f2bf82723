"""What `multiwriter demo` runs: a cluster on loopback, a proxy before it, and work for both."""
