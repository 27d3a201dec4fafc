"""The demonstration, `make demo`: real long prompts through a real gateway, and what came of them."""
