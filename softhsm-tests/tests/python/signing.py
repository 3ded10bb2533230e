"""Signs requests as rootcellar/v1/signature.proto says: each alone, with a P-256 key."""
import base64
import hashlib
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rootcellar.v1 import signature_pb2


class Signer:
    """Signs for the holder of a chain and its key, both PEM; origin is the log's, from the trust bundle."""

    def __init__(self, chain, key, origin):
        self.serial = x509.load_pem_x509_certificate(chain).serial_number
        self.key = serialization.load_pem_private_key(key, None)
        self.origin = origin

    def signed(self, method, request, body):
        """Fills a request with its body and the signature over it."""
        body = body.SerializeToString()
        leaf = f"/rootcellar.v1.{method}\n{hashlib.sha256(body).hexdigest()}\n"
        root = base64.b64encode(hashlib.sha256(b"\0" + leaf.encode()).digest()).decode()
        now = time.time_ns() // 1_000_000
        text = f"rootcellar/v1 requests\n{self.origin}\n{self.serial:x}\n{now}\n1\n{root}\n"
        made = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return request(body=body, signature=signature_pb2.RequestSignature(time_unix_ms=now, size=1, signature=made))
