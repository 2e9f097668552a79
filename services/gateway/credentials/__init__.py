"""Who sends a request, what that credential may do, and how often."""
