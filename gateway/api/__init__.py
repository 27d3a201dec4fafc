"""What clients talk to: the relayed OpenAI API (plain ASGI) and the operators' routes (FastAPI)."""
