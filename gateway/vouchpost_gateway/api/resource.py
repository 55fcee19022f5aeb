"""One path for callers with a key: method, key, rate, scope, query, body, handler, in this order."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope

from vouchpost_gateway.api.answer import Answer, Header
from vouchpost_gateway.api.auth import require, sign_in
from vouchpost_gateway.api.body import read_body
from vouchpost_gateway.api.call import Call, Tools
from vouchpost_gateway.api.endpoint import Endpoint, Observe, chosen
from vouchpost_gateway.api.headers import pick_headers
from vouchpost_gateway.api.operation import Operation
from vouchpost_gateway.api.query import parse_query
from vouchpost_gateway.api.rate import Buckets


@dataclass(frozen=True, slots=True)
class Edge:
    """What all paths share: the tools of the handlers, the limits, and who watches."""

    tools: Tools
    buckets: Buckets
    body_limit_bytes: int
    observe: Observe


class Resource(Endpoint):
    """All operations of one path."""

    def __init__(self, path: str, operations: Mapping[str, Operation], edge: Edge) -> None:
        super().__init__(path, observe=edge.observe)
        self.operations = operations
        self._edge = edge

    async def answer(self, scope: Scope, receive: Receive, headers: list[Header], /) -> Answer:
        operation = chosen(self.operations, scope["method"])
        picked = pick_headers(scope["headers"])
        authentication = self._edge.tools.services.authentication
        principal = await sign_in(authentication, picked.authorization)
        headers.extend(self._edge.buckets.take(principal.key_id))
        require(principal, operation.scope)
        require(principal, operation.shows)
        query = parse_query(scope["query_string"], known=operation.query)
        raw = b""
        if operation.body is not None:
            raw = await read_body(receive, picked, limit_bytes=self._edge.body_limit_bytes)
            principal = await sign_in(authentication, picked.authorization)  # a body may come when the key is revoked
        params = scope.get("path_params", {})
        call = Call(self._edge.tools, principal, scope["path"], params, query, picked, raw, receive)
        return await operation.run(call)
