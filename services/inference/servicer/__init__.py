"""The gRPC faces of this service."""
