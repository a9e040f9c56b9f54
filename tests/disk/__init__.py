"""What a disk can do to a sidecar, and what must come of it (issue 4, 'Disk')."""
