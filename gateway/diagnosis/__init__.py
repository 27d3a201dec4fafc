"""What an operator asks when something is wrong, or before anything can be.

doctor.py       one look at everything a gateway needs: configuration, store, upstreams, models, prices, model files
finding.py      what it found, and what to do
probes.py       requests that an upstream is tried with
bodies.py       a reply's body as a whole
conformance.py  an upstream asked directly and through a gateway: is it the same?
shapes.py       what two replies have in common, and in what they differ
commands.py     `context-gateway doctor` and `check`
"""
