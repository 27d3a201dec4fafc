"""How far a model's context is effective, asked for directly and through the gateway: `context-gateway measure`.

facts.py     what is asked: a passage, a question about it, the answer; made up here, or the operator's own
prompts.py   prompts of a given length, with the passage somewhere in a lot of other text
asking.py    one request to a running gateway: the answer, when it began, what it was billed for
trial.py     every question at every length, with windowing and without
figures.py   what comes of it: accuracy by length, the effective context, what was saved
commands.py  the command
"""
