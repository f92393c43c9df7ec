"""Nouns as table rows and as messages: the only home of column and property names."""
