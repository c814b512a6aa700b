"""The small processes that belong to one container and outlive the command that started them."""
