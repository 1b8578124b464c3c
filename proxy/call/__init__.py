"""The life of a call: identify, route, estimate, authorize, forward, tally, price, settle, end the reply."""
