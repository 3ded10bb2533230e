"""Registers an agent and gets it a certificate, knowing the contract alone.

usage: agent.py SERVER CREDENTIALS AGENT CSR OUT
"""
import pathlib
import ssl
import sys

import grpc
from google.protobuf import duration_pb2
from rootcellar.v1 import agent_pb2, agent_pb2_grpc, issuance_pb2, issuance_pb2_grpc

server, credentials, agent, csr, out = sys.argv[1:]
files = pathlib.Path(credentials)
channel = grpc.secure_channel(
    server,
    grpc.ssl_channel_credentials(
        root_certificates=(files / "bundle.pem").read_bytes(),
        private_key=(files / "key.pem").read_bytes(),
        certificate_chain=(files / "chain.pem").read_bytes(),
    ),
)
agents = agent_pb2_grpc.AgentServiceStub(channel)
created = agents.CreateAgent(
    agent_pb2.CreateAgentRequest(agent=agent_pb2.Agent(name=agent, roles=["logger"])), timeout=20
).agent
issuance = issuance_pb2_grpc.IssuanceServiceStub(channel)
request = issuance_pb2.IssueCertificateRequest(
    agent=created.name,
    csr=pathlib.Path(csr).read_bytes(),
    lifetime=duration_pb2.Duration(seconds=600),
    request_id="python-1",
)
certificate = issuance.IssueCertificate(request, timeout=20).certificate
assert issuance.IssueCertificate(request, timeout=20).certificate == certificate
try:
    issuance.IssueCertificate(issuance_pb2.IssueCertificateRequest(agent="agents/prod/x", csr=request.csr), timeout=20)
except grpc.RpcError as refused:
    assert refused.code() == grpc.StatusCode.PERMISSION_DENIED, refused
else:
    sys.exit("what no grant covers was issued")
pathlib.Path(out).write_text("".join(map(ssl.DER_cert_to_PEM_cert, certificate.chain)))
print(certificate.spiffe_id)
