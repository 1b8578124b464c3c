"""The outbound edge: which target a call goes to, and the HTTP client that takes it there."""
