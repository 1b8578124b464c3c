"""The outbound edge: routes, the targets behind them, and the client that forwards a call."""
