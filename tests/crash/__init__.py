"""Dying, and the disk failing, at every point: what was committed stands, and the same command ends the run."""
