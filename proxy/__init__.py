"""Farebox: the fare box in front of your AI APIs."""

__version__ = "0.1.0"
