"""Shared state: what is spent and set aside, teams and keys made at run time, the ledger.

contract.py    what both stores promise
sqlite.py      embedded, for one machine and all its workers
redis.py       Redis or Valkey, for any number of replicas; lua/ holds its scripts
"""
