"""Figures, each ``plot_*(values, ..., ax=None) -> Axes``, and the report; all use of matplotlib is here."""

from neurovis.core import import_optional

import_optional("matplotlib", extra="plot")

from neurovis.plotting.attention import plot_attention, plot_attention_peaks  # noqa: E402
from neurovis.plotting.curves import plot_curves  # noqa: E402
from neurovis.plotting.differences import plot_model_differences  # noqa: E402
from neurovis.plotting.flow_fields import plot_film_strips, plot_flow_fields  # noqa: E402
from neurovis.plotting.galleries import plot_captioned_images, plot_galleries, plot_shares  # noqa: E402
from neurovis.plotting.gaze import (  # noqa: E402
    plot_asymmetry,
    plot_fixation_map,
    plot_gaze_comparison,
    plot_pooling_rings,
    plot_scanpath,
    plot_scanpath_panels,
)
from neurovis.plotting.motion import (  # noqa: E402
    plot_direction_tuning,
    plot_flow,
    plot_flow_reports,
    plot_frequency_map,
    plot_pattern_plane,
)
from neurovis.plotting.partition import plot_variance_partition, plot_venn  # noqa: E402
from neurovis.plotting.rdm import plot_rdm, plot_rsa_bars  # noqa: E402
from neurovis.plotting.recovery import plot_intervals, plot_recovery  # noqa: E402
from neurovis.plotting.report import build_report, read_benchmarks  # noqa: E402
from neurovis.plotting.retinotopy import plot_receptive_fields  # noqa: E402
from neurovis.plotting.scores import (  # noqa: E402
    plot_confusion,
    plot_feature_comparison,
    plot_null_distribution,
    plot_score_against_ceiling,
    plot_scores_by_region,
)
from neurovis.plotting.sidecars import write_checks, write_figure, write_report_table  # noqa: E402
from neurovis.plotting.stimuli import plot_stimulus_gallery  # noqa: E402
from neurovis.plotting.study import plot_study, plot_study_arrays  # noqa: E402
from neurovis.plotting.style import CATEGORY_COLOURS, PALETTE, STYLE  # noqa: E402
from neurovis.plotting.surface import plot_surface_categories, plot_surface_map  # noqa: E402
from neurovis.plotting.timeline import plot_timeline  # noqa: E402
from neurovis.plotting.words import plot_words  # noqa: E402

__all__ = [
    "CATEGORY_COLOURS",
    "PALETTE",
    "STYLE",
    "build_report",
    "plot_asymmetry",
    "plot_attention",
    "plot_attention_peaks",
    "plot_captioned_images",
    "plot_confusion",
    "plot_curves",
    "plot_direction_tuning",
    "plot_feature_comparison",
    "plot_film_strips",
    "plot_fixation_map",
    "plot_flow",
    "plot_flow_fields",
    "plot_flow_reports",
    "plot_frequency_map",
    "plot_galleries",
    "plot_gaze_comparison",
    "plot_intervals",
    "plot_model_differences",
    "plot_null_distribution",
    "plot_pattern_plane",
    "plot_pooling_rings",
    "plot_rdm",
    "plot_receptive_fields",
    "plot_recovery",
    "plot_rsa_bars",
    "plot_scanpath",
    "plot_scanpath_panels",
    "plot_score_against_ceiling",
    "plot_scores_by_region",
    "plot_shares",
    "plot_stimulus_gallery",
    "plot_study",
    "plot_study_arrays",
    "plot_surface_categories",
    "plot_surface_map",
    "plot_timeline",
    "plot_variance_partition",
    "plot_venn",
    "plot_words",
    "read_benchmarks",
    "write_checks",
    "write_figure",
    "write_report_table",
]
