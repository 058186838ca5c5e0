"""The command's calls to the suite's internal services: what no API key can ask for."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self, TypeVar, cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from cli.channels import workload_channel
from cli.settings import Settings
from cli.state import address_file

_SECONDS = 10.0
_NOT_ANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_DETAILS = "grpc-status-details-bin"
_Answer = TypeVar("_Answer", bound=Message)


class CallError(RuntimeError):
    """A service refused or was not reached, in one sentence; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class InternalClient:
    """A client of one internal service. Ids are bare ULIDs; every method raises CallError."""

    owner: ClassVar[str]
    """Whose process answers: `identity`, `billing`."""
    service: ClassVar[ServiceDescriptor]

    def __init__(self, address: str, tls: Path) -> None:
        self._address = address
        self._channel = workload_channel(address, tls)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Of the address and certificates that the environment names, or of the suite running on the state folder."""
        tls = settings.tls_dir or settings.state / "tls"
        address = settings.address_of(cls.owner)
        if address is None:
            try:
                address = address_file(settings.state, cls.owner).read_text().strip()
            except FileNotFoundError:
                sentence = "no suite is running here: start one with `hasp up`"
                raise CallError(grpc.StatusCode.UNAVAILABLE, sentence) from None
        return cls(address, tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: str, request: Message, answer: type[_Answer], *, seconds: float = _SECONDS) -> _Answer:
        """The generated stubs are typed for event loops only, and a command has none."""
        call = self._channel.unary_unary(
            f"/{self.service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=seconds)
        except grpc.RpcError as error:
            raise CallError(error.code(), self._sentence(error)) from error

    def _sentence(self, error: grpc.RpcError) -> str:
        # What gRPC itself says of a connection is for those who write programs; a service's own refusal carries details.
        metadata = cast("Sequence[tuple[str, str | bytes]]", error.trailing_metadata() or ())
        told = any(key == _DETAILS for key, _ in metadata)
        if error.code() in _NOT_ANSWERED and not told:
            return f"{self.owner} does not answer at {self._address}"
        return error.details() or error.code().name
