"""The use cases of the slicer: plan, apply, check, explain."""
