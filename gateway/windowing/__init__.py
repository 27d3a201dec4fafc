"""From an oversized request to the window that is forwarded."""
