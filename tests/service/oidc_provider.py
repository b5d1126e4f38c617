"""A small identity provider: configuration, keys, authorization code with PKCE, tokens of any kind of wrongness."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "vst-dicom"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _encode(header: dict[str, str]) -> str:
    return _base64url(json.dumps(header).encode())


@dataclass
class Provider:
    """What it knows and what it was asked."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    claims: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    n_key_requests: int = 0

    def issue(self, *, key: RSAKey | None = None, **claims: Any) -> str:
        """Sign a token for a viewer; claims given as None are left out."""
        now = int(time.time())
        content = {
            "iss": self.url, "sub": "anna", "aud": CLIENT, "iat": now, "exp": now + 300, "roles": ["viewer"],
        } | claims  # fmt: skip
        content = {name: value for name, value in content.items() if value is not None}
        chosen = key or self.key
        return jwt.encode({"alg": "RS256", "kid": chosen.kid or "one"}, content, chosen)

    def unsigned(self, **claims: Any) -> str:
        """A token with the algorithm none."""
        return f"{_encode({'alg': 'none'})}.{self.issue(**claims).split('.')[1]}."

    def signed_with_public_key(self) -> str:
        """A token whose shared secret is the public key."""
        content = f"{_encode({'alg': 'HS256', 'kid': 'one'})}.{self.issue().split('.')[1]}"
        signature = hmac.digest(self.key.as_pem(private=False), content.encode(), "sha256")
        return f"{content}.{_base64url(signature)}"

    def answer(self, path: str, query: dict[str, str], form: dict[str, str]) -> tuple[int, dict[str, Any] | str]:
        if path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            return 200, {"issuer": self.url} | {name: f"{self.url}/{end}" for name, end in names.items()}
        if path == "/keys":
            self.n_key_requests += 1
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if path == "/authorize":
            code = f"code{len(self.codes)}"
            self.codes[code] = query
            return 302, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = _base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        token = self.issue(**{"nonce": asked["nonce"], **self.claims})
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": token}


@contextmanager
def providing() -> Iterator[Provider]:
    """Run a provider on this machine until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            self._answer({name: values[0] for name, values in parse_qs(content).items()})

        def _answer(self, form: dict[str, str]) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, content = provider.answer(parts.path, query, form)
            self.send_response(status)
            if isinstance(content, str):
                self.send_header("Location", content)
                content = {}
            body = json.dumps(content).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
