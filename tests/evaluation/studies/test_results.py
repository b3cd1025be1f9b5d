import numpy as np
import pytest

from neurovis.evaluation.studies.results import (
    COLUMNS,
    StudyResult,
    check_result_table,
    make_result_row,
    make_result_table,
)

ROW = {"study": "s", "quantity": "accuracy", "value": 0.5, "n": 8, "split": "leave one run out"}


def test_row_and_table_have_the_common_columns():
    table = make_result_table([make_result_row(**ROW)])
    assert list(table.columns) == list(COLUMNS)
    assert np.isnan(table.loc[0, ["ci_low", "null_95", "p_value", "chance", "reference"]].astype(float)).all()


def test_null_gives_its_percentile_and_a_p_value_that_counts_ties_and_is_never_zero():
    null = np.linspace(0, 1, 101)
    row = make_result_row(**ROW, null=null)
    assert row["null_95"] == pytest.approx(0.95)
    assert row["p_value"] == pytest.approx((1 + 51) / 102)
    assert make_result_row(**{**ROW, "value": 2.0}, null=null)["p_value"] == pytest.approx(1 / 102)


def test_bad_rows_and_tables_are_refused():
    with pytest.raises(ValueError, match="value must be finite"):
        make_result_row(**{**ROW, "value": np.nan})
    with pytest.raises(ValueError, match="ci must be"):
        make_result_row(**ROW, ci=(1.0, 0.0))
    with pytest.raises(ValueError, match="twice"):
        make_result_table([make_result_row(**ROW)] * 2)
    good = make_result_table([make_result_row(**ROW)])
    with pytest.raises(ValueError, match="make_result_row"):
        StudyResult(good.drop(columns="n"))
    with pytest.raises(ValueError, match="finite 'value'"):
        check_result_table(good.assign(value=np.nan))
    with pytest.raises(ValueError, match="'chance': 'object'"):
        check_result_table(good.assign(chance=["half"]))
