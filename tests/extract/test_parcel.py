"""Lines that wait for their turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.extract.parcel import Parcel

LINES = st.lists(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b" ") + b"\n"), max_size=8))


@given(pages=LINES, in_memory=st.integers(min_value=1, max_value=200))
def test_lines_come_back_in_order_however_little_fits_into_memory(tmp_path_factory, pages, in_memory):
    parcel = Parcel(tmp_path_factory.getbasetemp(), in_memory=in_memory)
    for page in pages:
        parcel.append(page)
    given_lines = [line for page in pages for line in page]
    assert [line for some in parcel.lines() for line in some] == given_lines
    assert parcel.count == len(given_lines)
    parcel.close()


def test_what_does_not_fit_goes_to_a_file_without_a_name(tmp_path):
    parcel = Parcel(tmp_path, in_memory=1000)
    for number in range(500):
        parcel.append([b"%d\n" % number])
    assert sum(len(line) for line in parcel._held) <= 1000
    assert parcel._file is not None
    assert list(tmp_path.iterdir()) == []
    assert [line for some in parcel.lines() for line in some] == [b"%d\n" % number for number in range(500)]
    parcel.close()
    assert parcel._file.closed
