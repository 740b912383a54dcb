"""The lazy book of leads against a plain list that does the same the slow way."""

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.emulator.leads import LeadBook
from airflow_provider_robofy.emulator.seeded import BASE

ORDERS = ("newest_first", "oldest_first", "none")
MOMENTS = st.integers(BASE - 3000, BASE + 3000)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), MOMENTS),
        st.tuples(st.just("move"), st.integers(0, 40), MOMENTS),
        st.tuples(st.just("delete"), st.integers(0, 40)),
        st.tuples(st.just("look"), st.sampled_from(ORDERS)),
    ),
    max_size=25,
)


def book_of(count, spacing):
    return LeadBook(key=5, count=count, spacing=spacing, first_id=100)


@given(count=st.integers(0, 30), spacing=st.sampled_from([0, 1, 60, 420]), steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_any_history_leaves_every_order_right(count, spacing, steps):
    book = book_of(count, spacing)
    model = {n: book.time_of(n) for n in range(1, count + 1)}
    for step in steps:
        if step[0] == "add":
            model[book.add(step[1], None, {})] = step[1]
        elif step[0] == "look":
            book.numbers(step[1], 0, 10)
        elif model:
            number = sorted(model)[step[1] % len(model)]
            if step[0] == "move":
                book.change(number, step[2], {})
                model[number] = step[2]
            else:
                book.delete(number)
                del model[number]
    expected = sorted(model, key=lambda n: (model[n], n))
    assert len(book) == len(expected)
    assert list(book.numbers("oldest_first", 0, 99)) == expected
    assert list(book.numbers("newest_first", 0, 99)) == expected[::-1]
    scattered = list(book.numbers("none", 0, 99))
    assert sorted(scattered) == sorted(expected)
    for order, whole in zip(ORDERS, (expected[::-1], expected, scattered), strict=True):
        pieces = [n for start in range(0, 99, 7) for n in book.numbers(order, start, start + 7)]
        assert pieces == whole
    for n in range(1, count + 40):
        assert book.find(f"lead_{100 + n}") == (n if n in model else None)


@given(count=st.integers(1, 500), spacing=st.integers(0, 1000))
def test_seeded_times_never_go_back(count, spacing):
    book = book_of(count, spacing)
    times = [book.time_of(n) for n in range(1, count + 1)]
    assert times == sorted(times)
    assert times[-1] == BASE


def test_what_is_no_id_of_this_book_is_not_found():
    book = book_of(3, 60)
    for odd in ("lead_", "lead_x", "lead_100", "lead_104", "lead_²", "", None, 5, "lead_" + "9" * 30):
        assert book.find(odd) is None
    assert [book.find(f"lead_{n}") for n in (101, 102, 103)] == [1, 2, 3]


def test_the_scattered_order_stays_when_leads_arrive_or_go():
    book = book_of(200, 60)
    before = list(book.numbers("none", 0, 200))
    book.delete(before[7])
    new = book.add(BASE + 1, None, {})
    after = list(book.numbers("none", 0, 200))
    assert [n for n in after if n != new] == before[:7] + before[8:]
