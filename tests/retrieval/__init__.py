"""Tests of retrieval; a package, because the gateway has a module of the same name as one of them (types)."""
