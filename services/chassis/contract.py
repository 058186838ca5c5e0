"""What the contract says of a method: who may call it, its request and response types, its route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from hasp.access.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC of the contract."""

    name: str
    """`/hasp.identity.v1.ApiKeyService/CreateApiKey`."""
    access: access_pb2.Access | None
    """None: the contract does not say who may call it, so nobody may."""
    request: type[Message]
    response: type[Message]
    body_field: str
    """The request field that the JSON body is bound to; empty for none and for the whole request."""

    @property
    def validation_status(self) -> int:
        """HTTP status of a broken limit: 400 on inference paths, 422 on control-plane and agent paths."""
        return 400 if self.access is not None and self.access.scope.startswith("ai:") else 422


def method_of(descriptor: MethodDescriptor) -> Method:
    options = descriptor.GetOptions()
    # The generated stubs type an extension as a bare FieldDescriptor.
    http: Any = annotations_pb2.http
    access: Any = access_pb2.access
    rule = options.Extensions[http]
    return Method(
        name=f"/{descriptor.containing_service.full_name}/{descriptor.name}",
        access=options.Extensions[access] if options.HasExtension(access) else None,
        request=message_factory.GetMessageClass(descriptor.input_type),
        response=message_factory.GetMessageClass(descriptor.output_type),
        body_field="" if rule.body == "*" else rule.body,
    )


def methods_of(services: Iterable[ServiceDescriptor]) -> Mapping[str, Method]:
    """Every method of the services by its full name."""
    found = [method_of(method) for service in services for method in service.methods]
    return {method.name: method for method in found}
