"""Questions for an agent, and what their answers must and must not contain."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A longer answer fails, and only so many characters of it land.
LONGEST_ANSWER: Final = 100_000
#: Characters of a question's name.
LONGEST_NAME: Final = 80

_RULES: Final = ("expect", "any_of", "reject")
_KEYS: Final = ("ask", *_RULES)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text, or a regular expression, that is looked for in an answer.

    :param source: What the user wrote, such as ``30 days`` or ``/(30|thirty) days/``.
    :param pattern: The regular expression, or None for a text.
    """

    source: str
    pattern: re.Pattern[str] | None

    def __str__(self) -> str:
        return f"'{plain(self.source)}'"

    def is_in(self, answer: str) -> bool:
        """Return whether the phrase is in an answer.

        :param answer: The answer, as :func:`plain` returns it.
        """
        if self.pattern is not None:
            return self.pattern.search(answer) is not None
        return _folded(self.source) in _folded(answer)


def plain(text: str) -> str:
    """Return a text in NFKC, with one space for each run of white space.

    :param text: The text.
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _folded(text: str) -> str:
    # Folding the case can undo NFKC, so that is done once more.
    return plain(plain(text).casefold())


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what its answer must and must not contain.

    :param ask: The question.
    :param expect: Phrases that the answer must contain, all of them. Default none.
    :param any_of: Phrases of which the answer must contain one. Default none: any answer will do.
    :param reject: Phrases that the answer must not contain. Default none.
    """

    ask: str
    expect: tuple[Phrase, ...] = ()
    any_of: tuple[Phrase, ...] = ()
    reject: tuple[Phrase, ...] = ()

    @property
    def name(self) -> str:
        """Return the question on one line, cut to 80 characters."""
        line = plain(self.ask)
        return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 3]}..."

    def judge(self, answer: str) -> list[str]:
        """Return what is wrong with an answer, without a word of it.

        :param answer: The answer.
        :return: The reasons; empty for an answer that passes.
        """
        if len(answer) > LONGEST_ANSWER:
            return [f"the answer has {len(answer)} characters, more than {LONGEST_ANSWER}"]
        text = plain(answer)
        reasons = [f"expect: {one} is not in the answer" for one in self.expect if not one.is_in(text)]
        if self.any_of and not any(one.is_in(text) for one in self.any_of):
            reasons.append(f"any_of: none of {', '.join(map(str, self.any_of))} is in the answer")
        return reasons + [f"reject: {one} is in the answer" for one in self.reject if one.is_in(text)]


def read_questions(given: object, where: str = "questions", lines: Sequence[int] = ()) -> list[Question]:
    """Return questions from plain data.

    For example::

        [{"ask": "When do you open?", "expect": ["9:00", "/mon(day)?/"], "reject": "I do not know"}]

    :param given: A list of objects with ``ask`` and perhaps ``expect``, ``any_of`` and ``reject``, each a text or a
        list of texts. A text between slashes is a regular expression.
    :param where: Name of the argument or file, for errors. Default ``questions``.
    :param lines: The line of each question in the file. Default: errors name its index, from 0.
    :return: The questions.
    :raises RobofyConfigError: There is none, or one cannot be used.
    """
    if not given:
        raise RobofyConfigError(f"{where}: there is no question.")
    if not isinstance(given, list | tuple):
        raise RobofyConfigError(f"{where} must be a list of questions, not {type(given).__name__}.")
    return [
        _question(one, f"{where}, line {lines[index]}" if lines else f"{where}[{index}]")
        for index, one in enumerate(given)
    ]


def _question(given: object, where: str) -> Question:
    if not isinstance(given, Mapping):
        raise RobofyConfigError(f"{where} must be an object with ask, and not {type(given).__name__}.")
    if unknown := [str(name) for name in given if name not in _KEYS]:
        raise RobofyConfigError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(_KEYS)}.")
    ask = given.get("ask")
    if not isinstance(ask, str) or not ask.strip():
        raise RobofyConfigError(f"{where} has no ask: the text of the question.")
    return Question(ask, **{name: _phrases(given[name], f"{where}: {name}") for name in _RULES if name in given})


def _phrases(given: object, where: str) -> tuple[Phrase, ...]:
    texts = given if isinstance(given, list | tuple) else [given]
    if not texts:
        raise RobofyConfigError(f"{where} is an empty list; leave it out.")
    return tuple(_phrase(text, where) for text in texts)


def _phrase(text: object, where: str) -> Phrase:
    if not isinstance(text, str):
        raise RobofyConfigError(
            f"{where} must be text or a list of texts, not {type(text).__name__}: put it in quotes."
        )
    if not plain(text).strip("/ "):
        raise RobofyConfigError(f"{where} has an empty text, which is in every answer.")
    if len(text) <= 2 or not text.startswith("/") or not text.endswith("/"):
        return Phrase(text, None)
    try:
        return Phrase(text, re.compile(unicodedata.normalize("NFC", text[1:-1]), re.IGNORECASE))
    except re.error as error:
        raise RobofyConfigError(f"{where}: {text} is not a regular expression ({error}).") from None


def parse_questions(content: bytes, uri: str) -> list[Question]:
    """Return the questions of a file.

    In YAML each value is text as it is written, so ``9:30`` and ``yes`` need no quotes::

        - ask: When do you open?
          expect: 9:30
        - ask: Can I return goods?
          any_of: [30 days, /(one|a) month/]

    :param content: The file's content, in UTF-8.
    :param uri: Its path or URL, which ends in ``.yaml``, ``.yml`` or ``.json``.
    :return: The questions.
    :raises RobofyConfigError: The file has no question, or one cannot be used; the message names line or index.
    """
    if not uri.endswith((".yaml", ".yml", ".json")):
        raise RobofyConfigError(f"questions must be a list, or a file that ends in .yaml, .yml or .json, not {uri!r}.")
    lines: list[int] = []
    try:
        text = content.decode("utf-8-sig")
        if uri.endswith(".json"):
            given = json.loads(text) if text.strip() else None
        else:
            loader = yaml.BaseLoader(text)
            node = loader.get_single_node()
            given = None if node is None else loader.construct_document(node)
            if isinstance(node, yaml.SequenceNode):
                lines = [one.start_mark.line + 1 for one in node.value]
                _refuse_repeated_keys(node, uri)
    except UnicodeDecodeError:
        raise RobofyConfigError(f"{uri} is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise RobofyConfigError(f"{uri}, line {error.lineno}: not JSON ({error.msg}).") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RobofyConfigError(f"{uri}, line {line}: not YAML ({error.problem}).") from None
    except (yaml.YAMLError, RecursionError):
        raise RobofyConfigError(f"{uri} has characters that YAML does not allow, or is nested too deeply.") from None
    return read_questions(given, uri, lines)


def _refuse_repeated_keys(questions: yaml.SequenceNode, uri: str) -> None:
    """Raise for a key that a question has twice: YAML would drop the first one, and so a rule for the answer."""
    for one in questions.value:
        keys = [str(key.value) for key, _ in one.value] if isinstance(one, yaml.MappingNode) else []
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise RobofyConfigError(f"{uri}, line {one.start_mark.line + 1}: {', '.join(repeated)} is there twice.")
