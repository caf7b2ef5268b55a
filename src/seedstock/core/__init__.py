"""Pure types and rules of the hub: no I/O, no web, no SQL, no ML."""
