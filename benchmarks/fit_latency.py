"""Fit the latency estimates of both engines to instruction counts and show counted against estimated.

`fit_latency.py` fits and prints; `fit_latency.py --write` also writes latency_coefficients.json of
mcofa/engines/tflm and mcofa/engines/aot. What engine aot is fitted to, `count_aot_instructions.py` counts.

Seven models per core (TFLM) or sixteen (aot) cannot tell all features apart, so
the fit is pulled towards start values: a table of instructions per unit. They are judgement,
from the kernels' loops and from first fits to the same counts; features that no measured
model has keep them.

Read the errors with care. There are more features than models, so the error of the fit on its
own models says little. The error on a model left out is better evidence, but the start values,
how strongly they pull and whether a common factor is fitted too were chosen with it in view:
the first table of TFLM, with that factor, had 12.7 % (Cortex-M0+), 18.3 to 18.5 % (M3, M4, M7, M33)
and 35.3 % (M55), root mean square, with CMSIS-NN. What is promised is therefore the largest
error on a model left out, not the mean; a model unlike those can be further off.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from evidence import arena_versions, measured_arenas, measured_models, report_evidence
from scipy.optimize import nnls

from export.tflite.parse import parse_tflite
from mcofa.engines.aot.latency import COEFFICIENTS_FILE as AOT_COEFFICIENTS_FILE
from mcofa.engines.latency import FEATURES, op_features
from mcofa.engines.tflm.engine import COEFFICIENTS_FILE
from mcofa.files.atomic import write_atomic
from mcofa.graph import Graph
from mcofa.lowering import lower
from mcofa.space.arch import arch_from_json
from mcofa.space.search_space import load_space

AOT_COUNTS_FILE = Path(__file__).parent.parent / "tests" / "data" / "aot_instructions.json"

# How freely a coefficient may leave its start value, and how exact a count is taken to be (fractions).
PRIOR_SPREAD = 0.25
COUNT_SPREAD = 0.02

# Instructions per unit, in the order of FEATURES.
_DSP = (2, 2, 10, 25, 5, 9, 25, 3, 120, 40, 120, 60, 5, 30, 1500)
_START = {
    ("cortex-m0plus", "cmsis-nn"): (7, 8, 15, 100, 18, 22, 100, 8, 240, 180, 300, 120, 10, 75, 3000),
    ("cortex-m3", "cmsis-nn"): (3, 6, 10, 25, 10, 18, 30, 6, 120, 60, 120, 60, 5, 30, 1500),
    ("cortex-m4", "cmsis-nn"): _DSP,
    ("cortex-m7", "cmsis-nn"): _DSP,
    ("cortex-m33", "cmsis-nn"): _DSP,
    ("cortex-m55", "cmsis-nn"): (0.5, 0.2, 4, 12, 2, 2, 12, 1.5, 120, 4, 120, 60, 1, 30, 1500),
    ("cortex-m0plus", "reference"): (55, 55, 0, 400, 55, 55, 400, 17, 240, 180, 300, 120, 60, 75, 3000),
    ("cortex-m7", "reference"): (42, 42, 0, 200, 42, 42, 200, 15, 120, 60, 120, 60, 40, 30, 1500),
    ("cortex-m55", "reference"): (42, 42, 0, 200, 42, 42, 200, 11, 120, 60, 120, 60, 40, 30, 1500),
}

_FOUR_AT_ONCE = (2.5, 4, 6, 15, 4, 4, 20, 2, 5, 20, 20, 10, 5, 5, 300)
_AOT_START = {
    ("cortex-m0plus", "reference"): (9, 10, 10, 60, 16, 16, 60, 9, 12, 60, 60, 20, 8, 12, 600),
    ("cortex-m3", "reference"): (4.5, 5, 6, 15, 7, 7, 20, 4, 5, 25, 25, 10, 5, 5, 300),
    ("cortex-m4", "reference"): _FOUR_AT_ONCE,
    ("cortex-m7", "reference"): _FOUR_AT_ONCE,
    ("cortex-m33", "reference"): _FOUR_AT_ONCE,
    ("cortex-m55", "reference"): (0.15, 0.4, 26, 10, 1.9, 1.4, 14, 0.2, 3.8, 19, 44, 10, 9, 5, 500),
}

Vector = npt.NDArray[np.float64]
Counts = dict[str, int]


@dataclass(frozen=True)
class Fit:
    """Coefficients of one core and kernel set, and the errors per model."""

    per_unit: Vector
    estimated: dict[str, float]
    errors: dict[str, float]
    unseen_errors: dict[str, float]

    @property
    def unseen_rms(self) -> float:
        """Root mean square of the errors on models left out."""
        return float(np.sqrt(np.mean(np.square(list(self.unseen_errors.values())))))

    @property
    def unseen_largest(self) -> float:
        """Largest error on a model left out."""
        return max(map(abs, self.unseen_errors.values()))


def measured_counts() -> dict[tuple[str, str], Counts]:
    counts: dict[tuple[str, str], Counts] = {key: {} for key in _START}
    for row in measured_arenas():
        if (row.core, row.kernels) in counts and row.instructions is not None:
            counts[row.core, row.kernels][row.model] = row.instructions
    return counts


def features_of(graph: Graph) -> Vector:
    return np.asarray(np.sum([op_features(graph, op) for op in graph.ops], axis=0))


def model_features(models: dict[str, Path]) -> dict[str, Vector]:
    return {name: features_of(parse_tflite(path.read_bytes(), path.name)) for name, path in models.items()}


def aot_networks() -> tuple[dict[str, Vector], dict[tuple[str, str], Counts], dict[str, Any]]:
    """What the counted networks do, what was counted, and how."""
    document = json.loads(AOT_COUNTS_FILE.read_text())
    features: dict[str, Vector] = {}
    counts: dict[tuple[str, str], Counts] = {}
    for row in document["counts"]:
        arch = arch_from_json(row["arch"], AOT_COUNTS_FILE.name)
        space = load_space(row["space"]).model_copy(update={"resolutions": (arch.resolution,)})
        name = f"{row['space']} {arch}"
        if name not in features:
            features[name] = features_of(lower(space, arch))
        counts.setdefault((row["core"], row["kernels"]), {})[name] = row["instructions"]
    return features, counts, document["provenance"]


def fit(features: dict[str, Vector], counts: Counts, start: Vector) -> Vector:
    """Non-negative least squares on relative errors, with one prior row per coefficient."""
    rows = np.array([features[model] / counts[model] for model in counts])
    pull = COUNT_SPREAD / PRIOR_SPREAD
    left = np.vstack([rows * start, pull * np.eye(len(start))])
    right = np.concatenate([np.ones(len(rows)), np.full(len(start), pull)])
    per_unit: Vector = nnls(left, right)[0] * start
    return per_unit


def fit_with_errors(features: dict[str, Vector], counts: Counts, start: Vector) -> Fit:
    per_unit = fit(features, counts, start)
    unseen = {}
    for model in counts:
        others = {name: count for name, count in counts.items() if name != model}
        unseen[model] = float(features[model] @ fit(features, others, start)) / counts[model] - 1
    estimated = {model: float(features[model] @ per_unit) for model in counts}
    return Fit(per_unit, estimated, {m: estimated[m] / counts[m] - 1 for m in counts}, unseen)


def print_table(key: tuple[str, str], counts: Counts, fitted: Fit) -> None:
    print(
        f"{key[0]}, {key[1]}: error on a model left out {fitted.unseen_rms * 100:.1f} % root mean square, "
        f"at most {fitted.unseen_largest * 100:.1f} %"
    )
    width = max(24, *map(len, counts))
    print(f"  {'model':{width}}{'counted':>15}{'estimated':>15}{'error':>9}{'left out':>9}")
    for model, count in counts.items():
        errors = f"{fitted.errors[model] * 100:+7.1f} %{fitted.unseen_errors[model] * 100:+7.1f} %"
        print(f"  {model:{width}}{count:15,}{fitted.estimated[model]:15,.0f}{errors}")


def by_core(fits: dict[tuple[str, str], Fit]) -> dict[str, dict[str, Any]]:
    cores: dict[str, dict[str, Any]] = {}
    for (core, kernels), fitted in fits.items():
        cores.setdefault(core, {})[kernels] = {
            "leave_one_out_largest_error": round(fitted.unseen_largest, 4),
            "leave_one_out_rms_error": round(fitted.unseen_rms, 4),
            "error_per_model": {m: round(error, 4) for m, error in fitted.errors.items()},
            "leave_one_out_error_per_model": {m: round(e, 4) for m, e in fitted.unseen_errors.items()},
            "instructions_per_unit": dict(zip(FEATURES, map(_significant, fitted.per_unit), strict=True)),
        }
    return cores


def tflm_provenance() -> dict[str, Any]:
    versions = arena_versions()
    return {
        "command": "python benchmarks/fit_latency.py --write",
        "method": (
            "non-negative least squares on relative errors of instructions per inference, pulled towards "
            "start values in the command's source; these, how strongly they pull and the form of the fit "
            "were chosen with the leave-one-out errors in view, which are therefore optimistic: the first "
            "form had 12.7 % on the M0+, 18.3 to 18.5 % on M3, M4, M7 and M33 and 35.3 % on the M55 "
            "(root mean square, CMSIS-NN)"
        ),
        "counts": versions["emulator"],
        "tflm_commit": versions["tflm_commit"],
        "cmsis_nn_commit": versions["cmsis_nn_commit"],
        "toolchain": versions["toolchain"],
        "other_cores": "the same sources and compiler, flags of the core, other mps2/mps3 machines of QEMU",
        "assumed": "which core's coefficients a core takes that was not measured: mcofa/boards/cores.json",
    }


def aot_provenance(counted: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "python benchmarks/fit_latency.py --write",
        "method": (
            "non-negative least squares on relative errors of instructions per inference, pulled towards "
            "start values in the command's source, which were chosen with first fits in view"
        ),
        "counts": counted,
        "assumed": (
            "fully connected layers, means and what is in no network keep their start values; which core's "
            "coefficients a core takes that was not counted: mcofa/boards/cores.json"
        ),
    }


def _significant(value: float) -> float:
    return float(f"{value:.6g}")


def fit_all(
    starts: dict[tuple[str, str], tuple[float, ...]],
    features: dict[str, Vector],
    counts: dict[tuple[str, str], Counts],
) -> dict[tuple[str, str], Fit]:
    fits = {}
    for key, start in starts.items():
        fits[key] = fit_with_errors(features, counts[key], np.array(start, dtype=np.float64))
        print_table(key, counts[key], fits[key])
    return fits


def write(file: Path, provenance: dict[str, Any], fits: dict[tuple[str, str], Fit]) -> None:
    document = {"provenance": provenance, "cores": by_core(fits)}
    write_atomic(file, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def fit_tflm(written: bool) -> None:
    print("Engine tflm")
    models, counts = measured_models(), measured_counts()
    counted = {model for of_core in counts.values() for model in of_core}
    report_evidence("models", len(counted & models.keys()), len(counted), counted - models.keys())
    if counted - models.keys():
        print("nothing is fitted: the coefficients are those of all models")
        return
    fits = fit_all(_START, model_features(models), counts)
    if written:
        write(COEFFICIENTS_FILE, tflm_provenance(), fits)


def fit_aot(written: bool) -> None:
    print("Engine aot")
    features, counts, how = aot_networks()
    fits = fit_all(_AOT_START, features, counts)
    if written:
        write(AOT_COEFFICIENTS_FILE, aot_provenance(how), fits)


def main() -> None:
    written = "--write" in sys.argv[1:]
    fit_tflm(written)
    fit_aot(written)


if __name__ == "__main__":
    main()
