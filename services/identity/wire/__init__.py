"""Domain ↔ protobuf, a module for each kind of thing."""
