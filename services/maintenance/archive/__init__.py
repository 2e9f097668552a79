"""The archive of log segments: each in the object store as gzip, read back before it is deleted."""
