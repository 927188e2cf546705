"""What ``manifest.json`` holds: one typed section a command.

A section may hold more than is named here, which nothing reads; what is named is checked when a
section is read, and may be relied on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic

from mcofa.boards import Board, Kernels
from mcofa.cost.measures import MEASURES
from mcofa.engines.engine import DEFAULT_ENGINE, ENGINES
from mcofa.space.fit import Fit
from mcofa.space.levels import BYTES, Levels
from mcofa.space.resolution import ResolutionInFile
from mcofa.space.search_space import SearchSpace

Count = Annotated[int, pydantic.Field(ge=0, lt=1 << 53)]
Limit = Annotated[int, pydantic.Field(gt=0, lt=1 << 53)]
Positive = Annotated[float, pydantic.Field(gt=0)]
Percent = Annotated[float, pydantic.Field(ge=-1000, le=1000)]
"""In percent or percentage points; a predictor may leave 0 to 100."""
Sha256 = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$")]
"""A file in the run's folder: a plain name, never a path."""


def _known_engine(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(f"engine is {name!r}; it must be one of {', '.join(ENGINES)}")
    return name


EngineName = Annotated[str, pydantic.AfterValidator(_known_engine)]


def _known_measure(name: str) -> str:
    if name not in MEASURES:
        raise ValueError(f"measure is {name!r}; it must be one of {', '.join(MEASURES)}")
    return name


MeasureName = Annotated[str, pydantic.AfterValidator(_known_measure)]


class Part(pydantic.BaseModel):
    """A mapping in the manifest."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class Section(Part):
    """What one command recorded; ``command`` is what was typed, where that is known."""

    command: tuple[str, ...] | None = None


class Artefact(Part):
    """A file that a command wrote into the run's folder."""

    file: FileName
    bytes: Count
    sha256: Sha256


class Source(Part):
    """A file outside the run that a command read; see ``mcofa.runs.sources``."""

    file: str
    sha256: Sha256 | None = None
    was_at: str | None = None


class Limits(Part):
    """The most that a subnet may take of each measure; None where any amount will do."""

    arena_bytes: Limit | None = None
    flash_bytes: Limit | None = None
    latency_ms: Positive | None = None
    peak_items: Limit | None = None
    model_bytes: Limit | None = None


class Predicted(Part):
    """What the search predicted of the arch that it chose; what depends on a board is None without one."""

    arena_bytes: Count | None = None
    model_bytes: Count | None = None
    flash_bytes: Count | None = None
    latency_ms_estimate: float | None = None
    latency_relative_error: float | None = None
    macs: Count
    peak_items: Count
    top1_percent: Percent
    top1_std_points: Percent
    outside_measured_range: bool


class VerifiedCandidate(Part):
    """An arch that a search measured on validation images."""

    float_top1_percent: Percent
    int8_top1_percent: Percent | None = None
    standard_error_points: Percent

    @property
    def top1_percent(self) -> float:
        """The accuracy that candidates are ranked by."""
        return self.float_top1_percent if self.int8_top1_percent is None else self.int8_top1_percent


class Verified(Part):
    """What ``mcofa search --verify`` measured, the chosen arch first."""

    checkpoint: Source
    split: str
    images: Count
    ranked_by: Literal["float", "int8"]
    candidates: tuple[VerifiedCandidate, ...] = pydantic.Field(min_length=1)


class Pareto(Part):
    """The front that ``mcofa search --pareto`` wrote."""

    measures: tuple[MeasureName, ...] = pydantic.Field(min_length=2, max_length=3)
    csv: Artefact
    svg: Artefact


class SearchSection(Section):
    """The arch that was chosen, and all that it was chosen by.

    Board and space are held whole, so that a run needs neither file again; runs of mcofa 0.1 name
    them only.
    """

    space: str
    space_fingerprint: str
    space_definition: SearchSpace | None = None
    board: str | None = None
    board_definition: Board | None = None
    core: str | None = None
    kernels: Kernels | None = None
    engine: EngineName | None = None
    streams_input: bool = False
    budget: Limits = Limits()
    seed: Count = 0
    arch: dict[str, Any]
    predicted: Predicted | None = None
    predictor: Source | str | None = None
    predictor_finetune_epochs: Count = 0
    verified: Verified | None = None
    pareto: Pareto | None = None

    @pydantic.model_validator(mode="after")
    def _board_is_told_once(self) -> Self:
        if self.board is not None and None in (self.core, self.kernels, self.engine):
            raise ValueError(f"board {self.board} needs core, kernels and engine beside it")
        if (defined := self.board_definition) is None:
            return self
        told = (self.board, self.core, self.kernels)
        if told != (defined.name, defined.core, defined.kernels):
            raise ValueError(
                f"board_definition is of {defined.name} ({defined.core}, {defined.kernels}), the search "
                "of {} ({}, {})".format(*told)
            )
        return self


class Top1BeforeAndAfter(Part):
    """Validation accuracies around fine-tuning."""

    before: Percent
    after: Percent


class FinetuneSection(Section):
    """Fine-tuned weights, the arch and checkpoint they belong to, and what they are worth."""

    checkpoint: Source
    arch: dict[str, Any]
    validation_images: Count
    validated_as: str
    validation_top1_percent: Top1BeforeAndAfter
    weights: Artefact


class Quantized(Part):
    """An int8 input or output."""

    shape: tuple[Annotated[int, pydantic.Field(ge=1, lt=1 << 31)], ...] = pydantic.Field(
        min_length=1, max_length=8
    )
    scale: Positive
    zero_point: Annotated[int, pydantic.Field(ge=-128, le=127)]


class QuantizedInput(Quantized):
    """The input, and whether the model reads its images rotated by 180 degrees."""

    rotate_180: bool


class Normalisation(Part):
    """How images are fitted, which numbers their levels are, and mean and deviation of levels in 0 to 1."""

    mean: float
    std: Positive
    fit: Fit = "crop"
    levels: Levels = BYTES


class Calibration(Part):
    """The training images that the int8 ranges come from."""

    images: Count


class Plan(Part):
    """The memory plan in the model file, where TFLM's own takes more arena."""

    used: bool
    saved_bytes: Count
    growth_bytes: Count


class ExportSection(Section):
    """The model files, and all that a firmware must know of them."""

    checkpoint: Source
    weights: Literal["supernet", "finetuned"]
    data: str
    resolution: ResolutionInFile
    channels: Count
    labels: tuple[str, ...]
    preprocessing: Normalisation
    calibration: Calibration
    input: QuantizedInput
    output: Quantized
    op_kinds: tuple[str, ...]
    engine: EngineName = DEFAULT_ENGINE
    streams_input: bool = False
    arena_bytes: Count
    offline_plan: Plan | None = None
    onnx: Artefact
    tflite: Artefact
    c_arrays: tuple[Artefact, ...]


class EvaluateSection(Section):
    """Accuracies on the test images."""

    test_images: Count
    float_top1_percent: Percent
    int8_top1_percent: Percent
    tflm_images: Count
    tflm_top1_percent: Percent
    tflm_images_that_differ_from_litert: Count


class VerifySection(Section):
    """Whether LiteRT and TFLM gave the same outputs."""

    data: str
    split: str
    images: Count
    passed: bool


class Compared(Part):
    """A size that was predicted, and measured where it could be."""

    place: str
    part: str
    predicted_bytes: Count
    measured_bytes: Count | None


class ArenaCheckSection(Section):
    """Predicted and measured memory of the exported file on a board."""

    board: str
    core: str
    kernels: str
    engine: EngineName = DEFAULT_ENGINE
    streams_input: bool = False
    arena_bytes: Count
    arena_budget_bytes: Count
    comparisons: tuple[Compared, ...] | None = None
    x86_64_predicted_head_bytes: Count = 0
    x86_64_measured_head_bytes: Count | None = None
    x86_64_predicted_tail_bytes: Count = 0
    x86_64_measured_tail_bytes: Count | None = None
    passed: bool
    failures: tuple[str, ...]

    @property
    def compared(self) -> tuple[Compared, ...]:
        """What was predicted and measured; runs of mcofa 0.1 compared on x86-64 only."""
        if self.comparisons is not None:
            return self.comparisons
        head = (self.x86_64_predicted_head_bytes, self.x86_64_measured_head_bytes)
        tail = (self.x86_64_predicted_tail_bytes, self.x86_64_measured_tail_bytes)
        return tuple(
            Compared(place="x86-64", part=part, predicted_bytes=predicted, measured_bytes=measured)
            for part, (predicted, measured) in (("head", head), ("tail", tail))
        )


class FirmwareSection(Section):
    """The firmware project that was written last."""

    board: str
    engine: str
    streams_input: bool = False
    folder: str


class Manifest(Part):
    """Everything that the commands recorded of a run that was searched for."""

    mcofa_version: str
    search: SearchSection
    finetune: FinetuneSection | None = None
    export: ExportSection | None = None
    evaluate: EvaluateSection | None = None
    verify: VerifySection | None = None
    arena_check: ArenaCheckSection | None = None
    firmware: FirmwareSection | None = None


SECTIONS: Mapping[str, type[Section]] = {
    "search": SearchSection,
    "finetune": FinetuneSection,
    "export": ExportSection,
    "evaluate": EvaluateSection,
    "verify": VerifySection,
    "arena_check": ArenaCheckSection,
    "firmware": FirmwareSection,
}
