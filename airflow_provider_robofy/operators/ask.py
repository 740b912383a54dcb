"""The operator that asks an agent questions and judges the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.hooks.locations import Location
from airflow_provider_robofy.hooks.metrics import count, tags_of
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.knowledge.asked import RESOURCE, Asking
from airflow_provider_robofy.knowledge.questions import Question, parse_questions, read_questions
from airflow_provider_robofy.operators.base import (
    RobofyBaseOperator,
    landing_store,
    read_share,
    run_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

#: Questions that an error names.
_NAMED = 5


class RobofyAskAgentOperator(RobofyBaseOperator):
    """Ask an agent questions whose answers are known, and fail the task if too many of its answers are wrong.

    Questions from a file::

        RobofyAskAgentOperator(task_id="ask", questions="s3://aws_default@wiki/questions.yaml", min_score=0.9)

    Questions in the DAG::

        RobofyAskAgentOperator(
            task_id="ask",
            questions=[
                {"ask": "When do you open?", "expect": ["9:00", "/mon(day)? to fri(day)?/"]},
                {"ask": "Can I return goods?", "any_of": ["30 days", "one month"], "reject": "I do not know"},
            ],
        )

    An answer passes if it contains every phrase of ``expect``, one of ``any_of`` and none of ``reject``; each of them
    is a text or a list of texts. A text between slashes is a regular expression. Case, Unicode form and white space
    make no difference. Without any of the three, every answer passes.

    Each question is asked in a new session, four at a time, and at most 30 a minute and 5,000 a day are sent from this
    process, as Robofy asks for. The log says before the first one how long that takes. Robofy keeps the sessions, so
    they come in syncs too; the landed file has their ids.

    A question that may have arrived is not asked again: it counts as unanswered, and so does one that Robofy refuses.
    After five unanswered ones in a row the others are not asked.

    A row of the file has ``question``, ``answer``, ``verdict`` (``passed``, ``failed`` or ``unanswered``), ``reasons``,
    ``seconds``, ``session_id``, ``_position`` (from 0), ``_project_id`` and ``_chatbot_id``. An answer of more than
    100,000 characters fails and is cut. XCom, log and errors have the questions and the reasons, and no answer.

    :param questions: A list of objects with ``ask``, ``expect``, ``any_of`` and ``reject``; or the path of a ``.yaml``,
        ``.yml`` or ``.json`` file with such a list; anything that Airflow's ``ObjectStoragePath`` opens. A relative
        path is below ``[robofy] landing_root``. A list without templates is checked when the DAG is parsed. (templated)
    :param min_score: The least share of questions that must pass, from 0 to 1. Below it the task fails without a retry,
        after the file is published. Default 1.
    :param output_path: Where to land, ending in ``.jsonl`` or ``.jsonl.gz``; anything that Airflow's
        ``ObjectStoragePath`` opens. A relative path is below ``[robofy] landing_root``. Default: there too, by project,
        agent, DAG, run and task. (templated)
    :param project_id: Project of the agent. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param robofy_conn_id: Id of the Robofy connection. (templated)
    :return: The manifest, see :class:`~airflow_provider_robofy.knowledge.asked.AskedManifest`, with the counts and the
        questions that did not pass. It is also in XCom as ``manifest``, even if the task fails.
    :raises AirflowFailException: The score is below ``min_score``; or key, ids, connection or questions are wrong.
    :raises RobofyError: Five questions in a row had no answer, or the file could not be landed; the task's retries
        apply, and ask all questions again.
    """

    template_fields: Sequence[str] = ("questions", "output_path", "project_id", "chatbot_id", "robofy_conn_id")

    def __init__(
        self,
        *,
        questions: Sequence[Mapping[str, Any]] | str | Path | ObjectStoragePath,
        min_score: float = 1.0,
        output_path: str | None = None,
        project_id: str | int | None = None,
        chatbot_id: str | None = None,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, **kwargs)
        if isinstance(questions, list | tuple) and "{{" not in str(questions):
            read_questions(questions)
        self.questions = questions
        self.min_score = read_share("min_score", min_score)
        self.output_path = output_path
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.remember_given()

    def work(self, context: Context) -> dict[str, Any]:
        """Ask, land the answers and return the manifest."""
        ids = self.ids()
        questions, uri = self._read_questions()
        store = landing_store(self.output_path, context, RESOURCE, *ids.values())
        if not store.uri.endswith((".jsonl", ".jsonl.gz")):
            raise RobofyConfigError(f"output_path must end in .jsonl or .jsonl.gz, but is {store.uri!r}.")
        asking = Asking(
            settings=self.hook.connection.settings,
            **ids,
            questions=questions,
            questions_uri=uri,
            min_score=self.min_score,
            run_key=run_key(context),
            store=store,
        )
        self.lineage.read(self.location_of("knowledge", **ids))
        manifest = self.ending_when_killed(asking).land().as_dict()
        counts = {name: manifest[name] for name in ("passed", "failed", "unanswered", "requests")}
        count("robofy.answers", counts, tags_of(self))
        self.report_landed(context, manifest)
        context["ti"].xcom_push(key="manifest", value=manifest)
        if asking.stopped is not None:
            raise asking.stopped
        if manifest["score"] < self.min_score:
            raise AirflowFailException(self._too_low(manifest))
        return manifest

    def _read_questions(self) -> tuple[list[Question], str | None]:
        """Return the questions, and the file that they are from."""
        if isinstance(self.questions, list | tuple):
            return read_questions(self.questions), None
        uri = place(str(self.questions), "questions")
        try:
            content = open_store(uri).read()
        except FileNotFoundError:
            raise RobofyConfigError(f"questions: {uri} is not there.") from None
        except OSError as error:
            raise RobofyDataError(f"questions: {uri} cannot be read ({type(error).__name__}).") from None
        self.lineage.read(Location.of(uri))
        return parse_questions(content, uri), uri

    def _too_low(self, manifest: Mapping[str, Any]) -> str:
        names = "; ".join(manifest["not_passed"][:_NAMED])
        more = "; ..." if len(manifest["not_passed"]) > _NAMED else ""
        return (
            f"{manifest['passed']} of {manifest['rows']} questions passed, and min_score is {self.min_score:g}; "
            f"{manifest['failed']} failed and {manifest['unanswered']} were not answered ({names}{more}). "
            f"Answers and reasons are in {manifest['uri']}."
        )
