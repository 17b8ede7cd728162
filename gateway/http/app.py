"""The Litestar application: routes, and the errors of everything that is not a route."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from litestar import Litestar, Request, Response, asgi, get, post
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from gateway.approvals import ApprovalDesk
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import AuditLog, KeyStore
from gateway.domain.record import AuditRecord
from gateway.domain.request import Caller
from gateway.domain.standing import ServerState
from gateway.domain.tree import Json, JsonObject
from gateway.http.approvals import approval_routes
from gateway.http.auth import authenticate
from gateway.http.errors import Rendered, render
from gateway.http.hints import read_hints
from gateway.http.inference import InferenceEndpoint
from gateway.http.wire import Limits, headers_of
from gateway.pipeline.dialects import DIALECTS, dialect_of
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.handle import Directory, Pipeline
from gateway.pipeline.shapes import Dialect
from gateway.telemetry.logs import log_event

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What the HTTP layer needs of the gateway. `problems` names what keeps it from being ready (empty: ready);
    `servers` tells what is known of model servers on other machines, by target;
    `explain` turns an exchange into an explanation without sending; `policy` tells the hashes of what is in force;
    `metrics` is Prometheus text and its type."""

    pipeline: Pipeline
    keys: KeyStore
    audit: AuditLog
    approvals: ApprovalDesk
    directory: Directory
    limits: Limits
    problems: Callable[[], Awaitable[Mapping[str, str]]]
    servers: Callable[[], Mapping[str, Sequence[ServerState]]]
    explain: Callable[[Exchange], Awaitable[JsonObject]]
    policy: Callable[[], JsonObject]
    encode: Callable[[AuditRecord], JsonObject]
    metrics: Callable[[], tuple[bytes, str]]
    created: int


def create_app(service: Service, endpoint: InferenceEndpoint) -> Litestar:
    """The application. What it needs is opened before and closed after it, by `gateway.compose`."""

    return Litestar(
        route_handlers=[
            *(_inference_route(dialect, endpoint) for dialect in DIALECTS),
            *_model_routes(service),
            *_health_routes(service, endpoint),
            *_decision_routes(service),
            *approval_routes(service.approvals, service.keys),
        ],
        exception_handlers={HTTPException: _http_error, GatewayError: _gateway_error, Exception: _defect},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=service.limits.body_bytes,
        debug=False,
    )


def _inference_route(dialect: Dialect, endpoint: InferenceEndpoint) -> ControllerRouterHandler:
    @asgi(f"/v1{dialect.PATH}", copy_scope=False)
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint.serve(dialect, scope, receive, send)

    return serve


def _model_routes(service: Service) -> list[ControllerRouterHandler]:
    def described(name: str) -> JsonObject:
        targets = service.directory.of(service.directory.routes[name])
        owner = targets[0].provider if len(targets) == 1 else "bailiwick"
        endpoints: list[Json] = [f"/v1{dialect.PATH}" for dialect in DIALECTS if targets[0].dialect == dialect.DIALECT]
        return {
            "id": name,
            "object": "model",
            "created": service.created,
            "owned_by": owner,
            "endpoints": endpoints,
        }

    @get("/v1/models")
    async def models(request: Request[Any, Any, Any]) -> Response[bytes]:
        _caller(service, request)
        return _json({"object": "list", "data": [described(name) for name in service.directory.routes]})

    @get("/v1/models/{name:path}")
    async def model(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        _caller(service, request)
        wanted = name.removeprefix("/")
        if wanted not in service.directory.routes:
            raise GatewayError(Code.MODEL_NOT_FOUND, "The model is not configured here.", param="model")
        return _json(described(wanted))

    return [models, model]


def _health_routes(service: Service, endpoint: InferenceEndpoint) -> list[ControllerRouterHandler]:
    @get("/healthz")
    async def healthz() -> Response[bytes]:
        return _json({"status": "ok"})

    @get("/readyz")
    async def readyz() -> Response[bytes]:
        problems = dict(await service.problems())
        if endpoint.draining:
            problems["gateway"] = "it is shutting down"
        status = "not ready" if problems else "ready"
        body: JsonObject = {"status": status, "problems": {**problems}, "policy": service.policy()}
        if servers := service.servers():
            body["servers"] = {target: [_server(state) for state in states] for target, states in servers.items()}
        return _json(body, 503 if problems else 200)

    @get("/metrics")
    async def metrics() -> Response[bytes]:
        body, media_type = service.metrics()
        return Response(body, media_type=media_type)

    return [healthz, readyz, metrics]


def _server(state: ServerState) -> JsonObject:
    """Without its address: who may see that we are ready need not know where the servers are."""
    return {"up": state.up, "reason": state.reason, **{name: round(value, 4) for name, value in state.figures.items()}}


def _decision_routes(service: Service) -> list[ControllerRouterHandler]:
    @get("/bailiwick/v1/decisions/{decision:str}")
    async def decision(request: Request[Any, Any, Any], decision: FromPath[str]) -> Response[bytes]:
        caller = _caller(service, request)
        records = await service.audit.find(decision[:96])
        if not records or not _may_see(caller, records[0]):
            raise GatewayError(Code.DECISION_NOT_FOUND, "There is no such decision among those you may see.")
        return _json({"decision": decision, "records": [service.encode(record) for record in records]})

    @post("/bailiwick/v1/explain", status_code=200)
    async def explain(request: Request[Any, Any, Any]) -> Response[bytes]:
        caller = _caller(service, request)
        hints = read_hints(headers_of(request.scope), caller)
        body = await request.body()
        exchange = service.pipeline.begin(caller, hints, dialect_of(body), body)
        return _json(await service.explain(exchange))

    return [decision, explain]


def _may_see(caller: Caller, first: AuditRecord) -> bool:
    """Its own app's decisions; an auditor or admin those of the whole tenant."""
    if first.tenant != caller.tenant:
        return False
    return first.app == caller.app or caller.role in ("auditor", "admin")


def _caller(service: Service, request: Request[Any, Any, Any]) -> Caller:
    return authenticate(service.keys, dict(request.scope["headers"]))


def _json(body: JsonObject, status: int = 200) -> Response[bytes]:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


def _answer(rendered: Rendered) -> Response[bytes]:
    headers = dict(rendered.headers)
    return Response(rendered.body, status_code=rendered.status, media_type=headers.pop("content-type"), headers=headers)


def _gateway_error(_: Request[Any, Any, Any], error: GatewayError) -> Response[bytes]:
    return _answer(render(error, None))


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Unknown paths and methods, in the shape that SDKs expect. Nothing is ever passed through."""
    if isinstance(error, NotFoundException):
        problem = GatewayError(
            Code.UNKNOWN_PATH, f"This gateway has no {request.method} {request.url.path[:128]}; nothing was sent."
        )
    elif isinstance(error, MethodNotAllowedException):
        problem = GatewayError(Code.METHOD_NOT_ALLOWED, f"{request.method} is not allowed on this path.")
    elif error.status_code == 413:
        problem = GatewayError(Code.REQUEST_TOO_LARGE, "The request's body is too large.")
    else:
        problem = GatewayError(Code.INVALID_REQUEST, "The request could not be read.")
    return _answer(render(problem, None))


def _defect(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log_event(_log, logging.ERROR, "a request failed by a defect", error=error)
    return _answer(render(GatewayError(Code.INTERNAL, "The gateway failed on this request."), None))
