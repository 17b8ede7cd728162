"""The admin API of approvals: who asks for what, and the word of those who may give it."""

from __future__ import annotations

from typing import Any

import orjson
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from gateway.approvals import Approval, ApprovalDesk, Status
from gateway.approvals.view import as_json
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import KeyStore
from gateway.domain.request import Caller
from gateway.domain.tree import JsonObject
from gateway.http.auth import authenticate

_PATH = "/admin/v1/approvals"
_AT_MOST = 1000
_USUALLY = 100


def approval_routes(desk: ApprovalDesk, keys: KeyStore) -> list[ControllerRouterHandler]:
    """List, show, approve, deny. Who may do what is for the desk to say."""

    def caller(request: Request[Any, Any, Any]) -> Caller:
        return authenticate(keys, dict(request.scope["headers"]))

    def shown(approval: Approval) -> Response[bytes]:
        return _json(as_json(approval, desk.now()))

    @get(_PATH)
    async def listed(request: Request[Any, Any, Any]) -> Response[bytes]:
        who = caller(request)
        statuses, limit = _statuses(request), _limit(request)
        found = await desk.listed(who, statuses, limit)
        return _json({"object": "list", "data": [as_json(approval, desk.now()) for approval in found]})

    @get(_PATH + "/{approval:str}")
    async def show(request: Request[Any, Any, Any], approval: FromPath[str]) -> Response[bytes]:
        return shown(await desk.find(caller(request), approval))

    @post(_PATH + "/{approval:str}/approve", status_code=200)
    async def approve(request: Request[Any, Any, Any], approval: FromPath[str]) -> Response[bytes]:
        return shown(await desk.approve(caller(request), approval))

    @post(_PATH + "/{approval:str}/deny", status_code=200)
    async def deny(request: Request[Any, Any, Any], approval: FromPath[str]) -> Response[bytes]:
        return shown(await desk.deny(caller(request), approval))

    return [listed, show, approve, deny]


def _statuses(request: Request[Any, Any, Any]) -> list[Status]:
    try:
        return [Status(word) for word in request.query_params.getall("status", [])]
    except ValueError:
        words = ", ".join(Status)
        raise GatewayError(Code.INVALID_REQUEST, f"status must be one of {words}.", param="status") from None


def _limit(request: Request[Any, Any, Any]) -> int:
    given = request.query_params.get("limit", str(_USUALLY))
    if not (given.isascii() and given.isdigit() and len(given) < 6 and 1 <= int(given) <= _AT_MOST):
        raise GatewayError(Code.INVALID_REQUEST, f"limit must be a number from 1 to {_AT_MOST}.", param="limit")
    return int(given)


def _json(body: JsonObject) -> Response[bytes]:
    return Response(orjson.dumps(body), media_type="application/json")
