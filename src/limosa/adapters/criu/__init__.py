"""CRIU over its RPC."""
