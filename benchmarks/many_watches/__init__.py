"""Many watches at once: how much memory they take, and how punctual and how fast polls are.

The steps, the adapters, the local host's trigger and HTTP are real. The storage is the stand-in of
`tests.support.storage`; ARM is in memory, and its operations never end.
"""
