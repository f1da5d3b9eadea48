"""A registered node without any of Flower's code: it says what a test wants it to say."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from federated.flower import compat
from federated.flower.calls import FlowerClient
from federated.flower.messages import Header, Parcel
from tests.lib.waiting import wait_until

__all__ = ["RawNode"]


class RawNode:
    """Talks to the public listener with a key of its own."""

    def __init__(self, client: FlowerClient, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.client = client
        self.key = key or ec.generate_private_key(ec.SECP384R1())
        self.id = 0

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def call(self, name: str, asked: Any, kind: Any) -> Any:
        return self.client.call(f"/v1/fleet/{name}", asked, kind, headers=compat.node_headers(self.key))

    def activate(self) -> int:
        asked = compat.fleet_pb2.ActivateNodeRequest(public_key=self.public_key, heartbeat_interval=600)
        self.id = self.call("activate-node", asked, compat.fleet_pb2.ActivateNodeResponse).node_id
        return self.id

    def pull(self) -> Header | None:
        """Return the next message that is for this node."""
        asked = compat.fleet_pb2.PullMessagesRequest(node=self.node)
        answered = self.call("pull-messages", asked, compat.fleet_pb2.PullMessagesResponse)
        for message in answered.messages_list:
            data = message.metadata
            return Header(
                id=data.message_id,
                run=data.run_id,
                source=data.src_node_id,
                destination=data.dst_node_id,
                reply_to=data.reply_to_message_id,
                created_at_s=data.created_at,
                ttl_s=data.ttl,
            )
        return None

    def wait(self) -> Header:
        """Wait for the next message that is for this node."""
        found: list[Header] = []

        def look() -> bool:
            found.extend(filter(None, [self.pull()]))
            return bool(found)

        wait_until(look)
        return found[0]

    def announce(self, parcel: Parcel) -> Any:
        """Push a message without its objects; return what the server wants to have."""
        asked = compat.fleet_pb2.PushMessagesRequest(
            node=self.node,
            messages_list=[compat.message_pb2.Message.FromString(parcel.head)],
            message_object_trees=[compat.message_pb2.ObjectTree.FromString(parcel.tree)],
            clientapp_runtime_list=[0.1],
        )
        return self.call("push-messages", asked, compat.fleet_pb2.PushMessagesResponse)

    def push(self, parcel: Parcel, run: int) -> None:
        answered = self.announce(parcel)
        for name in answered.objects_to_push:
            asked = compat.message_pb2.PushObjectRequest(
                node=self.node,
                run_id=run,
                object_id=name,
                object_content=parcel.objects[name],
                session_id=answered.session_id,
            )
            self.call("push-object", asked, compat.message_pb2.PushObjectResponse)

    @property
    def node(self) -> Any:
        return compat.node_pb2.Node(node_id=self.id)
