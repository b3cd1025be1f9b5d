"""Paired differences: filled where they pass, hollow where not, refused where they mean nothing."""

import pandas as pd
import pytest

from neurovis.plotting import plot_model_differences


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "region": ["V1", "FFA", "V1", "FFA"],
            "model_a": ["gabor", "gabor", "both", "both"],
            "model_b": "pixels",
            "difference": [0.2, -0.1, 0.25, 0.01],
            "ci_low": [0.1, -0.2, 0.15, -0.05],
            "ci_high": [0.3, 0.0, 0.35, 0.07],
            "q_value": [0.01, 0.2, 0.01, 0.8],
        }
    )


def test_marks_are_filled_where_the_difference_passes(table):
    ax = plot_model_differences(table)
    marks = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    hollow = [line for line in marks if line.get_markerfacecolor() == "white"]
    assert sorted(float(y) for line in hollow for y in line.get_ydata()) == [-0.1, 0.01]
    assert sorted(float(y) for line in marks if line not in hollow for y in line.get_ydata()) == [0.2, 0.25]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["V1", "FFA"]


def test_other_tables_are_refused(table):
    with pytest.raises(ValueError, match="must have the columns"):
        plot_model_differences(table.drop(columns="q_value"))
    with pytest.raises(ValueError, match="with a single one"):
        plot_model_differences(table.assign(model_b=["a", "b", "a", "b"]))
