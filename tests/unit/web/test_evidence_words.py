"""Numbers of an evidence record as a person reads them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seedstock.web.evidence_words import facts_in_words, layer_chart_of, statistics_in_words

THRESHOLDS = {"layer_coverage": 0.8, "derived_cosine": 0.5, "mlp_agreement": 0.3, "mlp_log10_p": -6.0}


def test_each_statistic_has_a_label_a_threshold_and_whether_it_holds() -> None:
    found = statistics_in_words(
        {
            "layers_a": 30,
            "layers_b": 24,
            "layers_mapped": 24,
            "layer_coverage": 1.0,
            "cosine_median": 0.3,
            "rho": 0.0212,
        },
        THRESHOLDS,
    )
    assert [(row.label, row.value, row.threshold, row.holds) for row in found] == [
        ("Layers mapped", "24 of 24", None, None),
        ("Layers derived in place", "100%", "above 80%", True),
        ("Cosine, median", "0.3", "above 0.5", False),
        ("Size of the change", "0.0212", None, None),
    ]


def test_of_several_layers_most_must_hold_and_the_range_is_shown() -> None:
    rows = statistics_in_words(
        {"mlp_agreement": [1.0, 0.9, 0.1], "mlp_log10_p": [-300.5, -2.0, -1.0]}, THRESHOLDS
    )
    assert (rows[0].value, rows[0].holds) == ("0.1 to 1", True)
    assert (rows[1].value, rows[1].threshold, rows[1].holds) == ("−300.5 to −1", "below −6", False)


def test_an_unknown_statistic_is_shown_under_its_own_name() -> None:
    (row,) = statistics_in_words({"spectral_gap_8": 2.5}, THRESHOLDS)
    assert (row.label, row.value, row.holds) == ("Spectral gap 8", "2.5", None)


def test_shared_embeddings_are_a_fact_and_have_no_threshold() -> None:
    (row,) = statistics_in_words({"embedding_cosine": 0.745}, THRESHOLDS | {"embedding_cosine": 0.9})
    assert row.holds is None
    assert facts_in_words({"shared_embeddings": True, "equal_shapes": False}) == (
        "The token embeddings are identical.",
    )
    assert facts_in_words({"shared_tensor_share": 0.21, "vocabulary_a": 49152, "vocabulary_b": 49160}) == (
        "21% of the bytes are in tensors that both share.",
        "The vocabularies differ in size: 49,152 and 49,160.",
    )


def test_the_chart_takes_the_first_measure_that_every_layer_has() -> None:
    layers = [
        {"a": 0, "b": 0, "cosine": 0.99, "mlp_agreement": 1.0},
        {"a": 1, "b": 2, "cosine": None, "mlp_agreement": 0.7},
    ]
    chart = layer_chart_of(layers, THRESHOLDS)
    assert chart is not None
    assert chart.measure == "Neuron agreement by layer"
    assert [(layer.label, layer.value, layer.matched) for layer in chart.layers] == [
        ("0", 1.0, None),
        ("1", 0.7, "layer 2"),
    ]
    assert chart.threshold == 0.3
    assert layer_chart_of([], THRESHOLDS) is None
    assert layer_chart_of([{"a": 0}], THRESHOLDS) is None


@given(
    st.dictionaries(
        st.text(max_size=20)
        | st.sampled_from(["cosine_median", "mlp_agreement", "layers_mapped", "layers_a"]),
        st.integers() | st.floats() | st.lists(st.floats(allow_nan=False), max_size=4),
        max_size=6,
    )
)
def test_no_record_breaks_the_table(statistics: dict[str, object]) -> None:
    shown = statistics_in_words(statistics, THRESHOLDS)
    assert all(isinstance(row.value, str) and row.label is not None for row in shown)
