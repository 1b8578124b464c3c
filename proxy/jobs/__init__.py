"""What outlives a request: the poller sees to it that each job ends, and retention that each object does."""
