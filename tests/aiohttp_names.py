"""The names of aiohttp that Farebox uses although aiohttp does not document them, and the module of each.

`module:Class.member` is a name, and `module:function(first, second)` promises those parameters as well.
"""

import inspect
from pkgutil import resolve_name
from typing import Final

CLIENT_MODULE: Final = "proxy.upstream.aiohttp_client"
CLIENT_NAMES: Final = (
    "aiohttp:ClientRequest(method, url, loop)",
    "aiohttp:TCPConnector.connect(req, traces, timeout)",
    "aiohttp.client_proto:ResponseHandler.connection_lost(exc)",
    "aiohttp.client_proto:ResponseHandler.set_parser(parser, payload)",
    "aiohttp.connector:Connection.close",
    "aiohttp.connector:Connection.protocol",
    "aiohttp.connector:Connection.transport",
)

SERVER_MODULE: Final = "proxy.edge.aiohttp_server"
SERVER_NAMES: Final = (
    "aiohttp.http_parser:HttpRequestParser",
    "aiohttp.http_parser:HttpRequestParserPy(protocol, loop, limit)",
    "aiohttp.http_parser:HttpRequestParserPy(max_line_size, max_field_size, max_headers)",
    "aiohttp.http_parser:HttpRequestParserPy(payload_exception, auto_decompress, max_msg_queue_size)",
    "aiohttp.http_writer:HttpVersion(major, minor)",
    "aiohttp.http_writer:HttpVersion10",
    "aiohttp.http_writer:HttpVersion11",
    "aiohttp.http_writer:StreamWriter.drain()",
    "aiohttp.http_writer:StreamWriter.output_size",
    "aiohttp.http_writer:StreamWriter.write(chunk)",
    "aiohttp.http_writer:_serialize_headers(status_line, headers)",
    "aiohttp.streams:StreamReader.is_eof()",
    "aiohttp.typedefs:Middleware",
    "aiohttp.web:BaseRequest.protocol",
    "aiohttp.web:BaseRequest.writer",
    "aiohttp.web:RequestHandler(manager, loop, access_log, lingering_time, keepalive_timeout)",
    "aiohttp.web:RequestHandler(auto_decompress)",
    "aiohttp.web:RequestHandler._current_request",
    "aiohttp.web:RequestHandler._loop",
    "aiohttp.web:RequestHandler._max_msg_queue_size",
    "aiohttp.web:RequestHandler._messages",
    "aiohttp.web:RequestHandler._msg_queue_resume_size",
    "aiohttp.web:RequestHandler._next_keepalive_close_time",
    "aiohttp.web:RequestHandler._parser",
    "aiohttp.web:RequestHandler._request_count",
    "aiohttp.web:RequestHandler._task_handler",
    "aiohttp.web:RequestHandler.connection_lost(exc)",
    "aiohttp.web:RequestHandler.connection_made(transport)",
    "aiohttp.web:RequestHandler.data_received(data)",
    "aiohttp.web:RequestHandler.force_close()",
    "aiohttp.web:RequestHandler.peername",
    "aiohttp.web:RequestHandler.handle_error(request, status, exc, message)",
    "aiohttp.web:RequestHandler.writing_paused",
    "aiohttp.web_protocol:RequestPayloadError",
    "aiohttp.web:StreamResponse.keep_alive",
    "aiohttp.web:StreamResponse.prepare(request)",
    "aiohttp.web:StreamResponse.prepared",
    "aiohttp.web:StreamResponse.write_eof(data)",
)

MEMBERS: Final = frozenset(
    {
        "_current_request",
        "_max_msg_queue_size",
        "_messages",
        "_msg_queue_resume_size",
        "_next_keepalive_close_time",
        "_parser",
        "_request_count",
        "_serialize_headers",
        "_task_handler",
        "handle_error",
        "output_size",
        "request_handler",
        "set_parser",
        "writing_paused",
    }
)
"""Members that no other module may name. Names that other libraries have as well are left out."""


def fault_of(entry: str) -> str | None:
    """What the installed aiohttp lacks of an entry, or None."""
    name, _, listed = entry.partition("(")
    try:
        found = resolve_name(name)
    except (ImportError, AttributeError) as error:
        return f"{name} is gone: {error}"
    wanted = [parameter for parameter in listed.rstrip(")").split(", ") if parameter]
    missing = set(wanted) - set(inspect.signature(found).parameters) if wanted else set()
    return f"{name} takes no {', '.join(sorted(missing))}" if missing else None
