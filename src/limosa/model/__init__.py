"""Immutable values and pure rules: what limosa talks about, without doing anything."""
