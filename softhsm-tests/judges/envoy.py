"""Two agents of a cell talk by mTLS through a pair of Envoys that nobody changes at run time.

Usage: envoy.py DIRECTORY CALLER CALLEE. The directory has anchors.pem, crl.pem, and NAME.chain.pem and NAME.key.pem of both and of `revoked`. Everything
is served on sockets in a directory of its own. What comes through is asserted, and why the rest does not: by Envoy's own counters.
"""

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# How long anything may take, in seconds.
PATIENCE = 10
TRANSPORT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def pipe(path):
    return {"pipe": {"path": str(path)}}


def tls(cell, own, peer):
    """What one side shows, and whom alone it takes."""
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(cell / f"{own}.chain.pem")},
                "private_key": {"filename": str(cell / f"{own}.key.pem")},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(cell / "anchors.pem")},
            "crl": {"filename": str(cell / "crl.pem")},
            "only_verify_leaf_cert_crl": True,
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}],
        },
    }


def listener(name, path, prefix, callee=None):
    chain = {
        "filters": [
            {
                "name": "tcp",
                "typed_config": {"@type": PROXY, "stat_prefix": name, "cluster": prefix},
            }
        ]
    }
    if callee:
        context = {
            "@type": TRANSPORT + "DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": callee,
        }
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    return {"name": name, "stat_prefix": name, "address": pipe(path), "filter_chains": [chain]}


def cluster(name, path, caller=None):
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": pipe(path)}}]}]
    made = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": f"{PATIENCE}s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }
    if caller:
        context = {"@type": TRANSPORT + "UpstreamTlsContext", "common_tls_context": caller}
        made["transport_socket"] = {"name": "tls", "typed_config": context}
    return made


def config(cell, work, caller, callee):
    names = {name: f"spiffe://judged.example/agent/build/{name}" for name in (caller, callee, "revoked")}
    sides = {
        "good": (caller, names[callee]),
        "revoked": ("revoked", names[callee]),
        "stranger": (callee, names[callee]),
        "other": (caller, names["revoked"]),
    }
    listeners = [listener(name, work / name, name) for name in sides]
    clusters = [cluster(name, work / "mtls", tls(cell, *side)) for name, side in sides.items()]
    # The callee knows the caller and the agent that is revoked: that one fails by the list alone.
    server = tls(cell, callee, names[caller])
    revoked = {"san_type": "URI", "matcher": {"exact": names["revoked"]}}
    server["validation_context"]["match_typed_subject_alt_names"].append(revoked)
    listeners.append(listener("mtls", work / "mtls", "backend", server))
    clusters.append(cluster("backend", work / "backend"))
    return {
        "admin": {"address": pipe(work / "admin")},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def backend(path):
    """Greets whoever comes, before they say anything, and says what they say."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve():
        while True:
            peer, _ = server.accept()
            with peer:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    peer.sendall(b"hello ")
                    peer.sendall(peer.recv(64))

    threading.Thread(target=serve, daemon=True).start()


def said(path):
    """All that is said to one who says `caller`."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(b"caller")
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while some := peer.recv(64):
                heard += some
                if heard == b"hello caller":
                    break
        return heard


def get(work, path):
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(PATIENCE)
        admin.connect(str(work / "admin"))
        admin.sendall(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        heard = b""
        while some := admin.recv(65536):
            heard += some
    return heard.decode()


def counter(work, name):
    found = re.search(rf"^{re.escape(name)}: (\d+)$", get(work, "/stats"), re.M)
    return int(found.group(1)) if found else 0


def is_live(work):
    try:
        return "LIVE" in get(work, "/ready")
    except (FileNotFoundError, ConnectionRefusedError):
        return False


def wait(what, true):
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


def judge(work):
    heard = {name: said(work / name) for name in ("good", "revoked", "stranger", "other")}
    if heard != {"good": b"hello caller", "revoked": b"", "stranger": b"", "other": b""}:
        sys.exit(f"what came through: {heard}")
    for name, why in {
        "listener.mtls.ssl.handshake": "the good pair",
        "listener.mtls.ssl.fail_verify_error": "the revoked caller",
        "listener.mtls.ssl.fail_verify_san": "the caller whom the callee does not take",
        "cluster.other.ssl.fail_verify_san": "the callee whom the caller does not want",
    }.items():
        wait(f"{name} counts {why}", lambda name=name: counter(work, name) == 1)


def main():
    cell = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        backend(work / "backend")
        (work / "envoy.json").write_text(json.dumps(config(cell, work, *sys.argv[2:4])))
        with (work / "log").open("w") as log:
            command = ["envoy", "-c", work / "envoy.json", "--disable-hot-restart", "--concurrency", "1"]
            command += ["--reject-unknown-dynamic-fields", "--log-level", "warning"]
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait("Envoy is ready", lambda: envoy.poll() is not None or is_live(work))
            if envoy.poll() is not None:
                sys.exit((work / "log").read_text())
            judge(work)
        finally:
            envoy.terminate()
            envoy.wait()


main()
