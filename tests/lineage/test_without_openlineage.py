"""An Airflow without the OpenLineage provider: nothing is missed. And one with it: DAG files do not pay for it."""

from __future__ import annotations

from tests.child import answer_of

HIDE = """
import importlib.abc, importlib.metadata, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "openlineage" or name.startswith("airflow.providers.openlineage"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())

# Airflow finds providers by their distributions: with the standard library, or on 2.11 with its backport.
def hide(metadata):
    installed = metadata.distributions
    metadata.distributions = lambda **kwargs: (
        one for one in installed(**kwargs) if "openlineage" not in (one.metadata["Name"] or "")
    )

hide(importlib.metadata)
try:
    import importlib_metadata
except ImportError:
    pass
else:
    hide(importlib_metadata)
"""

RUN = """
import json
from types import SimpleNamespace
from airflow.providers.common.compat import sdk
collector = sdk.HookLineageCollector()
sdk.get_hook_lineage_collector = lambda: collector
from airflow_provider_robofy.assets.robofy import convert_asset_to_openlineage, leads_asset
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
operator = RobofyFetchLeadsOperator(task_id="leads", output_path=sys.argv[1])
ti = SimpleNamespace(dag_id="d", run_id="r", task_id="leads", map_index=-1)
manifest = operator.execute({"ti": ti})
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
collected = get_hook_lineage_collector().collected_assets
print(json.dumps({
    "rows": manifest["rows"],
    "facets": operator.get_openlineage_facets_on_complete(ti),
    "converted": convert_asset_to_openlineage(leads_asset(1, "a"), None),
    "inputs": [one.asset.uri for one in collected.inputs],
    "outputs": [one.asset.uri for one in collected.outputs],
}))
"""

DEFINE = """
import json, sys
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
RobofyFetchLeadsOperator(task_id="leads")
late = ("openlineage.", "airflow.providers.openlineage.", "airflow.providers.common.sql.")
# Airflow itself reads what the providers say of themselves.
print(json.dumps([name for name in sys.modules if name.startswith(late) and not name.endswith("get_provider_info")]))
"""


def test_a_task_runs_and_reports_to_airflow_where_openlineage_cannot_be_imported(robofy, there, tmp_path):
    out = tmp_path / "leads.jsonl"
    assert answer_of(HIDE + RUN, out) == {
        "rows": 26,
        "facets": None,
        "converted": None,
        "inputs": [f"{there}/leads"],
        "outputs": [f"file://{out}"],
    }


def test_a_dag_file_imports_nothing_of_openlineage_and_of_databases():
    assert answer_of(DEFINE) == []
