"""HTTP in: the listener, the middleware, and the gateway to the relay."""
