"""The virtual clock over processes: each one's part in it, and whoever advances it (rule 29)."""
