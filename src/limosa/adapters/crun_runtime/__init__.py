"""The OCI runtime crun under the monitor conmon."""
