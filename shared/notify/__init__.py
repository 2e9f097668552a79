"""Notices on their way out: channels, how notices read, and which goes where."""
