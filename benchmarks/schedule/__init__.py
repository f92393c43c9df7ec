"""Polls against lag: the learned schedule beside the fixed ones of other pollers."""
