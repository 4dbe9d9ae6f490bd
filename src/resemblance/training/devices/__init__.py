"""Several devices: passes over images are divided among processes, and everything else happens in the first one."""
