"""Where in the body of a request a hostile value may stand, by path."""

from collections.abc import Mapping

FORM_HEAD = (("content-type", "multipart/form-data; boundary=form"),)
FORM = (
    b'--form\r\nContent-Disposition: form-data; name="model"\r\n\r\nm'
    b'\r\n--form\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA'
    b'\r\n--form\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n--form--\r\n'
)
"""A form, with a name, what else its head says, and a content."""

BODIES: Mapping[str, Mapping[str, bytes]] = {
    "/v1/chat/completions": {
        name: b'{"model":"m","messages":[],"%b":$}' % name.encode()
        for name in (
            *("messages", "tools", "functions", "response_format", "user", "stream_options", "extra"),
            *("plugins", "thinking", "modalities", "service_tier", "web_search", "prediction", "max_tokens"),
        )
    }
    | {
        "content": b'{"model":"m","messages":[{"role":"user","content":$}]}',
        "url": b'{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":$}}]}]}',
        "file": b'{"model":"m","messages":[{"content":[{"type":"file","file":{"file_data":$}}]}]}',
        "tool": b'{"model":"m","messages":[],"tools":[{"type":"function","function":$},{"type":$}]}',
        "budget": b'{"model":"m","messages":[],"thinking":{"budget_tokens":$}}',
        "model": b'{"messages":[],"model":$}',
        "n": b'{"model":"m","messages":[],"n":$}',
    },
    "/v1/completions": {
        "prompt": b'{"model":"m","prompt":$}',
        "echo": b'{"model":"m","echo":true,"n":4,"prompt":$}',
        "suffix": b'{"model":"m","prompt":"","suffix":$}',
    },
    "/v1/embeddings": {"input": b'{"model":"m","input":$}', "extra": b'{"model":"m","input":"a","x":$}'},
    "/v1/videos": {
        name: b'{"model":"m","prompt":"a","%b":$}' % name.encode()
        for name in ("prompt", "seconds", "size", "input_reference", "metadata", "extra")
    }
    | {"url": b'{"model":"m","prompt":"a","input_reference":{"image_url":$}}'},
    "/v1/moderations": {
        "input": b'{"model":"m","input":$}',
        "part": b'{"model":"m","input":[{"type":"text","text":"a"},$]}',
        "url": b'{"model":"m","input":[{"type":"image_url","image_url":{"url":$}}]}',
    },
    "/v1/rerank": {
        "documents": b'{"model":"m","query":"a","documents":$}',
        "texts": b'{"model":"m","query":"a","texts":$}',
        "document": b'{"model":"m","query":"a","documents":[$]}',
        "query": b'{"model":"m","query":$,"documents":["a"]}',
        "instruction": b'{"model":"m","query":"a","documents":["a"],"instruction":$}',
    },
    "/v1/messages": {
        name: b'{"model":"m","max_tokens":9,"messages":[],"%b":$}' % name.encode()
        for name in ("messages", "system", "tools", "mcp_servers", "context_management", "thinking", "extra")
    }
    | {
        "content": b'{"model":"m","messages":[{"role":"user","content":$}]}',
        "result": b'{"model":"m","messages":[{"content":[{"type":"tool_result","content":$}]}]}',
        "document": b'{"model":"m","messages":[{"content":[{"type":"document","source":{"data":$}}]}]}',
    },
    "/v1/responses": {
        name: b'{"model":"m","max_output_tokens":9,"%b":$}' % name.encode()
        for name in (
            *("input", "instructions", "tools", "text", "reasoning", "prompt_cache_options", "conversation"),
            *("max_tool_calls", "extra"),
        )
    }
    | {
        "content": b'{"model":"m","input":[{"role":"user","content":$}]}',
        "output": b'{"model":"m","input":[{"type":"function_call_output","output":$}]}',
        "picture": b'{"model":"m","input":[{"content":[{"type":"input_image","image_url":$}]}]}',
        "tool": b'{"model":"m","tools":[{"type":"web_search","filters":$},{"type":"namespace","tools":$}]}',
    },
    "/v1/conversations": {
        "items": b'{"items":$}',
        "content": b'{"items":[{"role":"user","content":$}]}',
        "id": b'{"items":[{"type":"item_reference","id":$}]}',
        "metadata": b'{"metadata":$}',
        "model": b'{"model":$}',
    },
    "/v1/images/generations": {
        name: b'{"model":"m","%b":$,"prompt":"A"}' % name.encode()
        for name in ("negative_prompt", "size", "image", "output_format", "n", "svg", "extra")
    }
    | {"prompt": b'{"model":"m","prompt":$}'},
    "/v1/images/edits": {
        "images": b'{"model":"m","prompt":"A","images":$}',
        "reference": b'{"model":"m","prompt":"A","images":[{"image_url":$}]}',
        "mask": b'{"model":"m","prompt":"A","mask":{"file_id":$}}',
        "file": FORM % (b"image", b'; filename="a.png"', b"$"),
        "field": FORM % (b"negative_prompt", b"", b"$"),
    },
}
"""Bodies with `$` where a value stands, by path and by the member that it is in."""

ASKS: Mapping[str, bytes] = {
    "/v1/chat/completions": b'{"model":"m","messages":[],"stream":$}',
    "/v1/completions": b'{"model":"m","prompt":"a","stream":$}',
    "/v1/embeddings": b'{"model":"m","input":"a"}',
    "/v1/videos": b'{"model":"m","prompt":"a"}',
    "/v1/moderations": b'{"model":"m","input":"a"}',
    "/v1/rerank": b'{"model":"m","query":"a","documents":["a"]}',
    "/v1/messages": b'{"model":"m","max_tokens":9,"messages":[],"stream":$}',
    "/v1/responses": b'{"model":"m","max_output_tokens":9,"input":"a","stream":$}',
    "/v1/images/generations": b'{"model":"m","prompt":"A","n":2,"stream":$}',
    "/v1/images/edits": b'{"model":"m","prompt":"A","stream":$}',
}
"""An ordinary body by path, with `$` where it says whether the reply is to be a stream."""
