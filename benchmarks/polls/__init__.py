"""The cost of a poll: opswatch, which stores each one, beside what else follows operations.

Each poller is a process; ARM, the storage and the Functions host are other processes.
"""
