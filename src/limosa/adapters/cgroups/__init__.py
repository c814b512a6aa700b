"""Cgroups v2 and hybrid v1 behind one port."""
