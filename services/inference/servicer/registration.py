"""Which servicers serve which services of the contract."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from hasp.inference.v1 import (
    chat_service_pb2,
    messages_service_pb2,
    model_service_pb2,
    phi_service_pb2,
    record_service_pb2,
    settings_service_pb2,
)
from hasp.inference.v1.chat_service_pb2_grpc import add_ChatServiceServicer_to_server
from hasp.inference.v1.messages_service_pb2_grpc import add_MessagesServiceServicer_to_server
from hasp.inference.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from hasp.inference.v1.phi_service_pb2_grpc import add_PhiServiceServicer_to_server
from hasp.inference.v1.record_service_pb2_grpc import add_RecordServiceServicer_to_server
from hasp.inference.v1.settings_service_pb2_grpc import add_SettingsServiceServicer_to_server
from hasp.watch.v1 import watch_service_pb2
from hasp.watch.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

from services.chassis.clock import Clock
from services.chassis.watch import ChangeLog, WatchServicer
from services.inference.servicer.chat import ChatServicer
from services.inference.servicer.messages import MessagesServicer
from services.inference.servicer.models import ModelServicer
from services.inference.servicer.phi import PhiServicer
from services.inference.servicer.records import RecordServicer
from services.inference.servicer.settings import SettingsServicer
from services.inference.usecases.inference import Inference

Registered = tuple[Callable[[Any, grpc.aio.Server], None], Any]

SERVICES: Sequence[ServiceDescriptor] = [
    chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"],
    messages_service_pb2.DESCRIPTOR.services_by_name["MessagesService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    phi_service_pb2.DESCRIPTOR.services_by_name["PhiService"],
    record_service_pb2.DESCRIPTOR.services_by_name["RecordService"],
    settings_service_pb2.DESCRIPTOR.services_by_name["SettingsService"],
    watch_service_pb2.DESCRIPTOR.services_by_name["WatchService"],
]


def servicers(inference: Inference, changes: ChangeLog, clock: Clock) -> list[Registered]:
    return [
        (add_ChatServiceServicer_to_server, ChatServicer(inference.chat, clock)),
        (add_MessagesServiceServicer_to_server, MessagesServicer(inference.messages)),
        (add_ModelServiceServicer_to_server, ModelServicer(inference.models)),
        (add_PhiServiceServicer_to_server, PhiServicer(inference.phi)),
        (add_RecordServiceServicer_to_server, RecordServicer(inference.records)),
        (add_SettingsServiceServicer_to_server, SettingsServicer(inference.settings)),
        (add_WatchServiceServicer_to_server, WatchServicer(changes)),
    ]
