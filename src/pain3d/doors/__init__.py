"""Knows what is read from strangers: a door for each kind of file; in `pain3d.doors.limits`, how much they let in."""
