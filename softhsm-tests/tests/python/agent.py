"""Registers an agent and gets it a certificate, knowing the contract alone.

usage: agent.py SERVER CREDENTIALS LOG AGENT CSR OUT
"""
import pathlib
import ssl
import sys

import grpc
from google.protobuf import duration_pb2
from rootcellar.v1 import agent_pb2, agent_pb2_grpc, issuance_pb2, issuance_pb2_grpc
from signing import Signer

server, credentials, log, agent, csr, out = sys.argv[1:]
files = pathlib.Path(credentials)
chain, key = (files / "chain.pem").read_bytes(), (files / "key.pem").read_bytes()
channel = grpc.secure_channel(
    server,
    grpc.ssl_channel_credentials(
        root_certificates=(files / "bundle.pem").read_bytes(), private_key=key, certificate_chain=chain
    ),
)
signer = Signer(chain, key, log)
agents = agent_pb2_grpc.AgentServiceStub(channel)
body = agent_pb2.CreateAgentBody(
    agent=agent_pb2.Agent(name=agent, roles=["logger"]), request_id="python-agent"
)
request = signer.signed("AgentService/CreateAgent", agent_pb2.CreateAgentRequest, body)
created = agents.CreateAgent(request, timeout=20).agent
issuance = issuance_pb2_grpc.IssuanceServiceStub(channel)


def issue(body):
    request = signer.signed("IssuanceService/IssueCertificate", issuance_pb2.IssueCertificateRequest, body)
    return issuance.IssueCertificate(request, timeout=20).certificate


def refused_with(code, act):
    try:
        act()
    except grpc.RpcError as refused:
        assert refused.code() == code, refused
    else:
        sys.exit(f"it was not refused with {code}")


body = issuance_pb2.IssueCertificateBody(
    agent=created.name,
    csr=pathlib.Path(csr).read_bytes(),
    lifetime=duration_pb2.Duration(seconds=600),
    request_id="python-1",
)
certificate = issue(body)
assert issue(body) == certificate
other = issuance_pb2.IssueCertificateBody(agent="agents/prod/x", csr=body.csr, request_id="python-2")
refused_with(grpc.StatusCode.PERMISSION_DENIED, lambda: issue(other))
unsigned = issuance_pb2.IssueCertificateRequest(body=body.SerializeToString())
refused_with(grpc.StatusCode.UNAUTHENTICATED, lambda: issuance.IssueCertificate(unsigned, timeout=20))
pathlib.Path(out).write_text("".join(map(ssl.DER_cert_to_PEM_cert, certificate.chain)))
print(certificate.spiffe_id)
