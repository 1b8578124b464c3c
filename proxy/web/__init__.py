"""The inbound edge: the gateway under /v1, the billing and admin APIs, and what every request passes."""
