"""SQL of the maintenance service, one file a subject."""
