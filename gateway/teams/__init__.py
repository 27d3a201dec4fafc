"""Teams: who calls, and what holds for them.

keys.py      a key and its digest; the keyring: from the caller's Authorization to the caller
known.py     teams and keys at one moment, from the configuration and the store; the stored form of a key
roster.py    kept up with the store while the gateway runs, and changed there by operators
fields.py    a policy as FIELD=VALUE or a file, for the command line
mistakes.py  what is wrong with a policy, field by field, in an operator's words
"""
