"""OCI images: from a registry or a file into unpacked layers that containers share."""
