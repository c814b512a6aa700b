"""Values and pure rules of the slicer: atoms, edges, series, plan text, errors."""
