"""API families, a module each, without I/O: how a request is read, what is sent on, what a reply used."""
