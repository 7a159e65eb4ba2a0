"""A request finds its operation: one look-up for a path without parameters, else the first pattern that fits.

The framework's own way through its layers of middleware costs as much as reading an event; nothing here is asked of
them but what stands below.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from evenstock.api import problems

Endpoint = Callable[[Request], Awaitable[Response]]
Methods = dict[str, Endpoint]


class Api:
    """The ASGI application: an endpoint for each (method, path), and a problem for whatever goes wrong in it.

    A path may hold `{name}`, up to the next slash, and `{name:path}`, up to its own end or to what follows it; what follows must
    stand so in the path as it was sent, so that `x%2Fexplain` is a name and `x/explain` is not.
    """

    def __init__(self, endpoints: Iterable[tuple[str, str, Endpoint]]) -> None:
        by_path: defaultdict[str, Methods] = defaultdict(dict)
        for method, path, endpoint in endpoints:
            by_path[path][method] = endpoint
            if method == "GET":
                by_path[path]["HEAD"] = endpoint
        self._exact = {path: methods for path, methods in by_path.items() if "{" not in path}
        self._patterns: list[tuple[re.Pattern[str], Methods, bool]] = [
            (compile_path(path)[0], methods, ":path}/" in path)
            for path, methods in by_path.items()
            if "{" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        endpoint = self._endpoint(scope)
        if endpoint is None:
            response = problems.no_operation(request, self._methods(scope["path"]))
        else:
            try:
                response = await endpoint(request)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, who asked is told, and the log when it is ours
                response = problems.of(request, error)
        await response(scope, receive, send)

    def _endpoint(self, scope: Scope) -> Endpoint | None:
        """What a request asks for; the parameters of its path go into the scope."""
        path, method = scope["path"], scope["method"]
        if (methods := self._exact.get(path)) is not None:
            return methods.get(method)
        for pattern, methods, as_sent in self._patterns:
            if as_sent and pattern.match(scope["raw_path"].decode("ascii", "replace")) is None:
                continue
            if method in methods and (match := pattern.match(path)) is not None:
                scope["path_params"] = match.groupdict()
                return methods[method]
        return None

    def _methods(self, path: str) -> set[str]:
        """All that can be done at a path."""
        fitting = [methods for pattern, methods, _ in self._patterns if pattern.match(path)]
        return {method for methods in [self._exact.get(path, {}), *fitting] for method in methods}
