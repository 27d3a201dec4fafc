"""Tests: they mirror the sources; `upstreams` speaks the real protocol, `integration` starts the real gateway."""
