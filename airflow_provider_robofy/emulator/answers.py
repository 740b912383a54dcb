"""What goes back over the wire: an answer, and the two error shapes that Robofy documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = "application/json; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """
    One whole HTTP answer, not sent yet.

    :param body: the bytes of it.
    :param status: HTTP status.
    :param content_type: its Content-Type header.
    :param headers: further headers.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(payload: Any, status: int = 200) -> Answer:
    """
    Make a JSON answer.

    :param payload: what to write as JSON.
    :param status: HTTP status.
    """
    return Answer(orjson.dumps(payload, option=orjson.OPT_NON_STR_KEYS), status)


def success(message: str, data: Any) -> Answer:
    """
    Make Robofy's usual `{message, data}` answer.

    :param message: one sentence.
    :param data: the content.
    """
    return json_answer({"message": message, "data": data})


class ApiError(Exception):
    """
    A refusal that the client shall see.

    :param status: HTTP status.
    :param code: Robofy's upper-case error code.
    :param detail: what is wrong, in a sentence.
    :param field: the header, parameter or body field that is to blame; "" for none.
    """

    def __init__(self, status: int, code: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers: dict[str, str] = {}

    def answer(self, shape: str) -> Answer:
        """
        Write it in one of the documented shapes.

        :param shape: "1" or "2".
        """
        if shape == "2":
            error: dict[str, Any] = {"code": self.code.lower(), "message": self.detail}
            if self.field:
                error["details"] = {"field": self.field}
            content: dict[str, Any] = {"error": error}
        else:
            title = self.code.replace("_", " ").capitalize()
            content = {"message": title, "error": {"code": self.code, "detail": self.detail}}
        answer = json_answer(content, self.status)
        answer.headers.update(self.headers)
        return answer


def bad_request(detail: str, field: str = "") -> ApiError:
    """
    Make the 400 for a parameter or body that cannot be used.

    :param detail: what is wrong, in a sentence.
    :param field: which parameter or body field.
    """
    return ApiError(400, "BAD_REQUEST", detail, field)


def not_found(detail: str, field: str = "", code: str = "NOT_FOUND") -> ApiError:
    """
    Make the 404 for something that is not there.

    :param detail: what is missing, in a sentence.
    :param field: the parameter that named it.
    :param code: Robofy's code for it.
    """
    return ApiError(404, code, detail, field)
