"""Programs that run in an SDK's own environment, and import nothing of this project but jobs.py."""
