"""Upstreams: which one gets a request, what is done when it fails, how it is spoken to.

candidates.py   where a model is served: upstreams by weight and load, then fallbacks
attempts.py     trying them: retries, backoff, what was tried
breaker.py      who fails again and again is left alone for a while
upstream.py     one upstream: its address, headers and pool of connections; azure.py: Azure OpenAI's addresses
masking.py      the operator's secrets are not shown to callers, whatever an upstream quotes in its errors
retry_after.py  when an upstream wants to be asked again
"""
