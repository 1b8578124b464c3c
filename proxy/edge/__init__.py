"""HTTP in: the listener, what every request passes, and the gateway to the relay."""
