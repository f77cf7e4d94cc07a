"""The API described by OpenAPI 3.1: what `docs.generate` makes docs/reference/api.md of, and ``/api/openapi.json`` gives."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """A parameter of a call: where it is (``query``, ``path`` or ``body``), and what it means."""

    name: str
    type: str
    meaning: str
    where: str = "query"


class Call(NamedTuple):
    """A call: its method and path, what it gives and as what, and what it takes."""

    method: str
    path: str
    meaning: str
    gives: str
    parameters: tuple[Parameter, ...] = ()


_LIBRARY = Parameter("library", "string", "name of the library; the first one where it is left out")
_CLIP = Parameter("clip_id", "integer", "a clip, as searches and SQL give it", "path")
_VIDEO = Parameter("video_id", "string", "a video, as searches and SQL give it", "path")

_QUESTION = (
    Parameter("text", "array", "what to look for; may be repeated, and all have to be met"),
    Parameter("like", "array", "id of a clip as an example; may be repeated"),
    Parameter("not", "array", "text that answers must not match; may be repeated"),
    Parameter("then", "string", "text of a second event, which follows the first in the same video"),
    Parameter("within", "number", "most seconds before the second event; 30"),
    Parameter("where", "string", "condition in SQL; it may take 5 s"),
    Parameter("by", "string", "moment, clip or video; moment"),
    Parameter("k", "integer", "number of answers, up to 1000; 10"),
    Parameter("in", "array", "pictures, speech or text: what to look in; may be repeated; all that the library has"),
    Parameter("then_in", "array", "likewise, for the second event"),
    Parameter("rerank", "integer", "how many of the best are ordered by the rerank score; 100"),
    Parameter("recall", "string", "0.95, 0.99 or exact, of a large library; 0.95"),
    Parameter("all", "boolean", "answer also where nothing stands out"),
    Parameter("distinct", "boolean", "of answers that show the same footage, the best alone"),
    Parameter("across_cuts", "boolean", "moments may run across cuts"),
    Parameter("right", "array", "id of a clip that was called right; may be repeated"),
    Parameter("wrong", "array", "id of a clip that was called wrong; may be repeated"),
    _LIBRARY,
)
_MOMENT = (
    _CLIP,
    Parameter("start", "number", "where the moment begins, in seconds; the clip's start"),
    Parameter("end", "number", "where it ends; the clip's end"),
    _LIBRARY,
)
_WIDTH = Parameter("width", "integer", "pixels across, 16 to 1280, rounded up to one of six widths; 320")
_ANSWER = (
    "`moments`, each as `vidsift search --json` prints it; `clips` and `passed`, the numbers of clips in the library and of "
    "those that meet `where`; `confidence` of the best; `stands_out`, whether that is enough to call it an answer"
)


def _in_body(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    return tuple(parameter._replace(where="body") for parameter in parameters)


CALLS = (
    Call("GET", "/api/search", "Find moments, with the parameters of `vidsift search`.", _ANSWER, _QUESTION),
    Call(
        "POST",
        "/api/search",
        "The same with a picture (PNG, JPEG) or a video as the example. A form; up to 256 MB.",
        _ANSWER,
        (Parameter("file", "file", "the example; a video of at most 60 s", "body"), *_in_body(_QUESTION)),
    ),
    Call("POST", "/api/feedback", "The same with all parameters in a JSON object.", _ANSWER, _in_body(_QUESTION)),
    Call("GET", "/api/clips/{clip_id}/similar", "Moments like a clip.", _ANSWER, (_CLIP, *_QUESTION)),
    Call(
        "GET",
        "/api/sql",
        "The result of one statement, which may only read, as `vidsift sql` runs it.",
        "`columns`, `rows` as lists, and `num_rows` of the whole result",
        (
            Parameter("query", "string", "the statement, in DuckDB's SQL"),
            Parameter("limit", "integer", "most rows to give; 10000"),
            Parameter("timeout", "number", "most seconds, up to 30; 30"),
            _LIBRARY,
        ),
    ),
    Call("GET", "/api/schema", "The tables that SQL sees, and what their columns mean.", "`tables`"),
    Call(
        "GET",
        "/api/status",
        "What a library holds, as `vidsift status --json`.",
        "that object, and `ingest`: how far a running ingest is, or null",
        (_LIBRARY,),
    ),
    Call(
        "GET",
        "/api/videos/{video_id}",
        "A video: its row, its clips, and their scores for a question, if one is asked; its speech, screen text and shots.",
        "`video`, `clips`, `speech`, `screen_text`, `shots`, and `plays`: whether a browser plays the `file` or needs a "
        "`moment`",
        (_VIDEO, *_QUESTION),
    ),
    Call("GET", "/api/moments/{clip_id}.jpg", "A picture of a moment.", "image/jpeg", (*_MOMENT, _WIDTH)),
    Call(
        "GET",
        "/api/moments/{clip_id}.webp",
        "An animation of eight pictures.",
        "image/webp",
        (*_MOMENT, _WIDTH),
    ),
    Call("GET", "/api/moments/{clip_id}.mp4", "A moment as browsers play it, by ranges; up to 600 s.", "video/mp4", _MOMENT),
    Call("GET", "/media/{video_id}", "A video's file as it is, by ranges.", "the file", (_VIDEO, _LIBRARY)),
    Call(
        "POST",
        "/api/tags",
        "Teach a tag by clips, as `vidsift teach`. A JSON object.",
        "`tag`, and what the command `said`",
        (
            Parameter("name", "string", "the tag's name", "body"),
            Parameter("right", "array", "ids of two or more clips that show it", "body"),
            Parameter("wrong", "array", "ids of clips that do not", "body"),
            _LIBRARY._replace(where="body"),
        ),
    ),
    Call(
        "POST",
        "/api/export",
        "Moments as files, as `vidsift export`. A JSON object.",
        "application/zip",
        (
            Parameter("moments", "array", "objects with `clip_id`, and `start_s` and `end_s` where they differ", "body"),
            Parameter("form", "string", "mp4, edl, webvtt or csv; mp4", "body"),
            _LIBRARY._replace(where="body"),
        ),
    ),
    Call("GET", "/api/openapi.json", "This description by OpenAPI 3.1.", "an object"),
    Call("GET", "/healthz", "Whether the server answers; needs no token.", "`ok`"),
    Call("GET", "/metrics", "Requests, latencies, snapshots and renderings, for Prometheus.", "text"),
)
"""Every call but the pages."""


def openapi() -> dict[str, Any]:
    """The description as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        operation: dict[str, Any] = {
            "summary": call.meaning,
            "responses": {
                "200": {"description": call.gives},
                "default": {
                    "description": "what is wrong, what was given, what is expected and what to do",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            },
        }
        asked = [
            {
                "name": parameter.name,
                "in": parameter.where,
                "required": parameter.where == "path",
                "description": parameter.meaning,
                "schema": _schema(parameter),
            }
            for parameter in call.parameters
            if parameter.where != "body"
        ]
        fields = {
            parameter.name: _schema(parameter) | {"description": parameter.meaning}
            for parameter in call.parameters
            if parameter.where == "body"
        }
        if asked:
            operation["parameters"] = asked
        if fields:
            kind = "multipart/form-data" if "file" in fields else "application/json"
            operation["requestBody"] = {"content": {kind: {"schema": {"type": "object", "properties": fields}}}}
        paths.setdefault(call.path, {})[call.method.lower()] = operation
    problem = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "vidsift", "version": version("vidsift")},
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _schema(parameter: Parameter) -> dict[str, Any]:
    if parameter.type == "file":
        return {"type": "string", "format": "binary"}
    if parameter.type == "array":
        return {"type": "array", "items": {}}
    return {"type": parameter.type}
