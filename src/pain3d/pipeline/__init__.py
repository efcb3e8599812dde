"""Makes data: plan, synthesise, write, describe and verify; and the command line."""
