"""Looks at every component on a timer of its own, and tells when one fails or recovers."""
