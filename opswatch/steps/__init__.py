"""The steps: each reads its inputs, asks `core` what follows, and applies the answer.

The order of effects within a step is what keeps watches from being lost: a successor is sent
before the row that makes it valid is committed, and an end is kept before anything follows from it.
"""
