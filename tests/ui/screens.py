"""Airflow's pages as a person uses them: menus, the connection form, a DAG and its runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Response

RUN_PATIENCE = 90_000  # milliseconds until a run has ended


class Screens:
    """Find things on Airflow's pages by what a person reads there.

    :param window: The browser's window.
    """

    def __init__(self, window: Any) -> None:
        self.window = window
        self.page = window.page

    # ------------------------------------------------------------------------------------------------ connections
    def connections(self) -> None:
        """Go to the list of connections by the menu."""
        self.page.goto("/")
        self.page.get_by_role("button", name="Admin").click()
        self.page.get_by_role("menuitem", name="Connections").click()
        expect(self.page.get_by_role("button", name="Add Connection")).to_be_visible()

    def row(self, conn_id: str) -> Locator:
        """Return a connection's line in the list."""
        found: Locator = self.page.get_by_role("row").filter(
            has=self.page.get_by_role("cell", name=conn_id, exact=True)
        )
        return found

    def add_connection(self, conn_id: str, kind: str) -> Form:
        """Open the form for a new connection of a type."""
        self.page.get_by_role("button", name="Add Connection").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Connection ID").fill(conn_id)
        dialog.get_by_role("combobox", name="Connection Type").fill(kind)
        self.page.get_by_role("option", name=kind, exact=True).click()
        return Form(self.page)

    def edit_connection(self, conn_id: str) -> Form:
        """Open the form of a connection that exists."""
        self.row(conn_id).get_by_role("button", name="Edit Connection").click()
        return Form(self.page)

    def test_connection(self, conn_id: str, *, picture: str = "") -> str:
        """Press a connection's Test button, and return the title and the sentence that appear.

        :param picture: Name of the picture to take of it.
        """
        # What was said before would cover the line, and stays while the mouse is on it.
        self.page.mouse.move(0, 0)
        expect(self.page.get_by_role("status")).to_have_count(0)
        answer = self._press_test(conn_id)
        if answer.status == 400 and "host or port to test differs" in answer.text():
            # Airflow 3.3.1 and 3.3.2 refuse to test what has no port (apache/airflow#73298): their page asks for port
            # 0, which is not the none that is stored. docs/connection.md says so; this is its way around.
            body = {"connection_id": conn_id, "conn_type": "robofy", "port": 0}
            self.window.airflow._ask("PATCH", f"connections/{conn_id}?update_mask=port", json=body)
            self.page.reload()
            answer = self._press_test(conn_id)
        assert answer.status == 200, answer.text()
        said = answer.json()
        toast = self.page.get_by_role("status").filter(has_text=said["message"])
        expect(toast).to_be_visible()
        text = str(toast.inner_text())  # before it goes away by itself
        if picture:
            self.window.picture(picture, height=520)
        return text

    def _press_test(self, conn_id: str) -> Response:
        with self.page.expect_response("**/connections/test") as waiting:
            self.row(conn_id).get_by_role("button", name="Test Connection").click()
        answered: Response = waiting.value
        return answered

    # ------------------------------------------------------------------------------------------------------ DAGs
    def dag(self, dag_id: str) -> None:
        """Go to a DAG by the list of DAGs."""
        self.page.goto("/dags")
        self.page.get_by_role("link", name=dag_id, exact=True).click()
        expect(self.page.get_by_role("heading", name=dag_id)).to_be_visible()

    def switch_on(self) -> None:
        """Switch the DAG on whose page this is."""
        switch = self.page.get_by_role("checkbox").first
        expect(switch).not_to_be_checked()
        switch.check(force=True)
        expect(switch).to_be_checked()

    def trigger(self) -> str:
        """Trigger the DAG whose page this is, and return the run's id."""
        self.page.get_by_role("button", name="Trigger Dag").first.click()
        with self.page.expect_response("**/dagRuns") as waiting:
            self.page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
        return str(waiting.value.json()["dag_run_id"])

    def run(self, dag_id: str, kind: str, *, tasks: int = 2) -> None:
        """Go to a DAG's newest run of a kind, and wait until it is shown as successful.

        :param kind: How the run's id begins: ``scheduled`` or ``manual``.
        :param tasks: How many tasks it has. Default 2.
        """
        airflow = self.window.airflow
        # The page of a DAG without a run that goes on does not look for new ones.
        airflow.until(
            lambda: any(run["dag_run_id"].startswith(kind) for run in airflow.runs(dag_id)),
            f"{dag_id} has a {kind} run",
        )
        self.page.goto(f"/dags/{dag_id}/runs")
        self.page.get_by_role("table").get_by_role("link", name=f"{kind}__").first.click()
        expect(self.page.get_by_role("heading", name=f"{kind}__")).to_be_visible()
        # The first is the run's; below it stand those of its tasks.
        expect(self.page.get_by_text("Success", exact=True)).to_have_count(1 + tasks, timeout=RUN_PATIENCE)

    def task(self, task_id: str) -> None:
        """Go from a run's page to one of its tasks."""
        self.page.get_by_role("table").get_by_role("link", name=task_id, exact=True).click()
        expect(self.page.get_by_role("heading", name=task_id)).to_be_visible()

    def log(self, holds: str = "Landed") -> str:
        """Return what the log of the task shows whose page this is.

        :param holds: A text to wait for.
        """
        log = self.page.get_by_test_id("virtualized-list")
        expect(log).to_contain_text(holds)
        return str(log.inner_text())

    def xcom(self) -> dict[str, Any]:
        """Go to the task's XCom, open the value that is shown there, and return it as it can be copied."""
        self.page.get_by_role("link", name="Storage").click()
        self.page.get_by_role("link", name="XCom").click()
        row = self.page.get_by_role("row", name="return_value")
        expect(row.locator(".view-line").first).to_contain_text("{")
        self.page.get_by_role("button", name="Expand all extra JSON").click()
        expect(row).to_contain_text('"rows":')
        row.get_by_role("button", name="Copy to clipboard").click()
        found: dict[str, Any] = json.loads(self.page.evaluate("navigator.clipboard.readText()"))
        return found


class Form:
    """Fill in and read the connection form, whose type has been chosen.

    :param page: The page that it is open on.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.dialog = page.get_by_role("dialog")
        expect(self.dialog.get_by_role("button", name="Standard Fields")).to_be_visible()

    def standard(self, label: str) -> Locator:
        """Return one of Airflow's own fields by its label."""
        found: Locator = self.dialog.get_by_label(label, exact=True)
        return found

    def section(self, name: str) -> None:
        """Open one of the form's parts, which closes the others."""
        heading = self.dialog.get_by_role("button", name=name, exact=True)
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        expect(heading).to_have_attribute("aria-expanded", "true")

    def extra(self, name: str) -> Locator:
        """Return what holds a provider's own field."""
        found: Locator = self.dialog.locator(f"[name='element_{name}']")
        return found

    def around(self, name: str) -> Locator:
        """Return a provider's own field with its label and its description."""
        found: Locator = (
            self.dialog.get_by_role("group").filter(has=self.page.locator(f"[name='element_{name}']")).first
        )
        return found

    def choose(self, name: str, option: str) -> None:
        """Choose from a provider's list of values."""
        self.around(name).get_by_role("combobox").fill(option)
        self.page.get_by_role("option", name=option, exact=True).click()

    def save(self) -> None:
        """Save, and wait until the form has closed."""
        self.dialog.get_by_role("button", name="Save").click()
        expect(self.dialog).to_be_hidden()
