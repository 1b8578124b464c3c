"""API families, a module each, without I/O: read a request, make what is sent on, tally the reply."""
