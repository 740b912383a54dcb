import pytest

from airflow_provider_robofy.emulator.faults import KINDS, FaultError, build, parse

REQUIRED = {"redirect": {"to": "/elsewhere"}}
STAYING = {
    "duplicate_rows", "changed_rows", "disorder", "malformed_rows", "token_loop", "token_unknown", "missing_list",
}  # fmt: skip


def test_the_command_line_form_is_read_with_types():
    fault = parse("redirect:to=http://127.0.0.1:9/x?a=b,status=307,times=0,endpoint=list_leads")
    assert fault.as_json() == {
        "kind": "redirect",
        "endpoint": "list_leads",
        "chatbot": None,
        "session": None,
        "page": None,
        "times": 0,
        "after": 0,
        "done": 0,
        "passed": 0,
        "to": "http://127.0.0.1:9/x?a=b",
        "status": 307,
    }
    trickle = parse("trickle:delay=0.5,bytes=1,chunked=true").as_json()
    assert (trickle["delay"], trickle["bytes"], trickle["chunked"]) == (0.5, 1, True)


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_typed_options_make_the_same_fault(kind):
    more = REQUIRED.get(kind, {})
    typed = build(kind, {**more, "page": 2, "times": 3, "after": 1})
    text = ",".join(f"{name}={value}" for name, value in {**more, "page": "2", "times": "3", "after": "1"}.items())
    assert typed.as_json() == parse(f"{kind}:{text}").as_json()


@pytest.mark.parametrize("kind", KINDS)
def test_faults_in_a_page_stay_and_others_happen_once(kind):
    assert build(kind, REQUIRED.get(kind, {})).times == (0 if kind in STAYING else 1)
    assert build(kind, {**REQUIRED.get(kind, {}), "times": None}).times is None


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("drop", {"times": 1.5}),
        ("drop", {"page": True}),
        ("drop", {"page": []}),
        ("drop", {"endpoint": 5}),
        ("drop", {"done": 4}),
        ("trickle", {"bytes": None}),
        ("delay", {"seconds": float("inf")}),
        ("delay", {"seconds": "nan"}),
        ("drop", {"after": -1}),
        ("drop", {"times": -2}),
    ],
)
def test_an_option_of_the_wrong_type_or_range_is_refused(kind, options):
    with pytest.raises(FaultError, match=next(iter(options))):
        build(kind, options)
