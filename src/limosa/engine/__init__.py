"""The use cases. No system call is made here: everything goes through a port."""
