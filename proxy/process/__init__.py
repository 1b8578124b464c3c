"""The processes: the composition root, a worker around it, and the supervisor of several workers."""
