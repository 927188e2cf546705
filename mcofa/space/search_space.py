"""Search spaces: the stage table and the options a family of networks may take.

Populations are integer matrices, one arch a row ("genomes"), so that sampling,
mutation and crossover are single numpy operations. The columns are: resolution,
one depth per stage, one kernel size per block, one expand ratio per block; each
entry is an index into the option it stands for. Entries of blocks beyond a stage's
depth are always 0, so that equal networks have equal rows.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from mcofa.errors import InvalidArchError, MissingFileError, UnknownNameError
from mcofa.files.named_file import file_of
from mcofa.files.names import checked_name, checked_text
from mcofa.files.yaml_file import read_model
from mcofa.space.arch import Arch
from mcofa.space.resolution import Resolution, ResolutionInFile, resolution_text, size_of
from mcofa.space.stage_table import (
    MOST_BLOCK_OPTIONS,
    MOST_CLASSES,
    MOST_STAGES,
    WIDEST,
    Depth,
    ExpandRatio,
    Head,
    KernelSize,
    Options,
    Stage,
    Stem,
)

Genomes = npt.NDArray[np.int8]
GlobalAverage = Literal["average_pool", "mean"]

_FOLDER = Path(__file__).parent / "named"
_LARGEST_ENUMERATION = 2_000_000


class SearchSpace(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Everything that defines a family of networks; see ``mcofa/space/named/*.yaml``.

    ``padding`` is TensorFlow's SAME (an odd pixel below and to the right) or PyTorch's
    symmetric kernel_size // 2. In a ``coupled`` space a stage of the n-th depth has the n-th
    expand ratio in all its blocks (CompOFA, Sahni et al., arXiv 2104.12642). ``global_average`` is
    the op that averages whole images on the device, AVERAGE_POOL_2D or MEAN; weights know nothing of it.
    A resolution is a side or (height, width). Expand ratios are those of the stages whose blocks expand;
    in others every ratio is 1.
    """

    name: Annotated[str, pydantic.AfterValidator(checked_name)]
    title: Annotated[str, pydantic.AfterValidator(functools.partial(checked_text, "title"))]
    input_channels: int = pydantic.Field(gt=0, le=WIDEST)
    classes: int = pydantic.Field(gt=1, le=MOST_CLASSES)
    padding: Literal["same", "symmetric"]
    coupled: bool = False
    global_average: GlobalAverage = "average_pool"
    resolutions: Options[ResolutionInFile]
    kernel_sizes: Options[KernelSize]
    expand_ratios: Options[ExpandRatio]
    depths: Options[Depth]
    stem: Stem
    stages: tuple[Stage, ...] = pydantic.Field(min_length=1, max_length=MOST_STAGES)
    head: Head

    @pydantic.model_validator(mode="after")
    def _options_are_usable(self) -> SearchSpace:
        for field in ("kernel_sizes", "expand_ratios", "depths"):
            options = getattr(self, field)
            if list(options) != sorted(set(options)):
                raise ValueError(f"{field} must ascend without repetition, got {options}")
        for before, after in itertools.pairwise(map(size_of, self.resolutions)):
            if before == after or before[0] > after[0] or before[1] > after[1]:
                raise ValueError(
                    f"resolutions must ascend in height and width without repetition, got {self.resolutions}"
                )
        block_options = len(self.resolutions) * len(self.kernel_sizes) * len(self.expand_ratios) * self.blocks
        if block_options > MOST_BLOCK_OPTIONS:
            raise ValueError(
                f"{block_options:,} options of blocks (resolutions × kernel sizes × expand ratios × stages × "
                f"largest depth), at most {MOST_BLOCK_OPTIONS:,} can be searched"
            )
        if any(kernel % 2 == 0 for kernel in self.kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd, got {self.kernel_sizes}")
        for number, stage in enumerate(self.stages, 1):
            if stage.kernel_size not in (None, *self.kernel_sizes):
                raise ValueError(
                    f"stage {number}: kernel_size {stage.kernel_size} is not in {self.kernel_sizes}"
                )
        if self.coupled and not all(stage.expands for stage in self.stages):
            raise ValueError("a coupled space couples expand ratios, which not all of its blocks have")
        if self.coupled and len(self.depths) != len(self.expand_ratios):
            raise ValueError(
                f"a coupled space needs as many depths as expand ratios, "
                f"got {len(self.depths)} and {len(self.expand_ratios)}"
            )
        return self

    @property
    def max_depth(self) -> int:
        """Blocks in the deepest stage."""
        return self.depths[-1]

    @property
    def blocks(self) -> int:
        """Blocks of the largest network, active or not, first block not counted."""
        return len(self.stages) * self.max_depth

    @property
    def _options_per_gene(self) -> tuple[int, ...]:
        return (
            len(self.resolutions),
            *[len(self.depths)] * len(self.stages),
            *[len(self.kernel_sizes)] * self.blocks,
            *[len(self.expand_ratios)] * self.blocks,
        )

    def depth_genes(self, genomes: Genomes) -> Genomes:
        """Depth indices, (archs, stages)."""
        return genomes[:, 1 : 1 + len(self.stages)]

    def kernel_genes(self, genomes: Genomes) -> Genomes:
        """Kernel-size indices, (archs, stages, max_depth)."""
        start = 1 + len(self.stages)
        return genomes[:, start : start + self.blocks].reshape(-1, len(self.stages), self.max_depth)

    def expand_genes(self, genomes: Genomes) -> Genomes:
        """Expand-ratio indices, (archs, stages, max_depth)."""
        start = 1 + len(self.stages) + self.blocks
        return genomes[:, start:].reshape(-1, len(self.stages), self.max_depth)

    def active(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which blocks exist, (archs, stages, max_depth)."""
        depths = np.array(self.depths)[self.depth_genes(genomes)]
        return np.arange(self.max_depth) < depths[:, :, None]

    @property
    def expands(self) -> npt.NDArray[np.bool_]:
        """Whether the blocks of each stage have an expand ratio to choose, (stages,)."""
        return np.array([stage.expands for stage in self.stages])

    def expand_values(self, genomes: Genomes) -> npt.NDArray[np.float64]:
        """Expand ratios, (archs, stages, max_depth)."""
        chosen = np.array(self.expand_ratios)[self.expand_genes(genomes)]
        return np.where(self.expands[:, None], chosen, 1.0)

    def _canonical(self, genomes: Genomes) -> Genomes:
        for s, stage in enumerate(self.stages):
            if stage.kernel_size is not None:
                self.kernel_genes(genomes)[:, s] = self.kernel_sizes.index(stage.kernel_size)
        if self.coupled:
            self.expand_genes(genomes)[:] = self.depth_genes(genomes)[..., None]
        self.expand_genes(genomes)[:, ~self.expands] = 0
        inactive = ~self.active(genomes)
        self.kernel_genes(genomes)[inactive] = 0
        self.expand_genes(genomes)[inactive] = 0
        return genomes

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """Draw ``count`` genomes, every option of every gene equally likely."""
        drawn = rng.integers(0, self._options_per_gene, size=(count, len(self._options_per_gene)))
        return self._canonical(drawn.astype(np.int8))

    def mutate(self, genomes: Genomes, probability: float, rng: np.random.Generator) -> Genomes:
        """Return a copy in which each gene was redrawn with ``probability``."""
        mask = rng.random(genomes.shape) < probability
        fresh = rng.integers(0, self._options_per_gene, size=genomes.shape).astype(np.int8)
        return self._canonical(np.where(mask, fresh, genomes))

    def crossover(self, first: Genomes, second: Genomes, rng: np.random.Generator) -> Genomes:
        """Return genomes whose genes come from one of two parents, each with equal chance."""
        return self._canonical(np.where(rng.random(first.shape) < 0.5, first, second))

    def neighbours(self, genome: Genomes) -> Genomes:
        """Return every genome that differs from ``genome``, (genes,), in one gene; it is not among them."""
        rows = [genome]
        for gene, options in enumerate(self._options_per_gene):
            for option in range(options):
                if option != genome[gene]:
                    row = genome.copy()
                    row[gene] = option
                    rows.append(row)
        found = np.unique(self._canonical(np.stack(rows)), axis=0)
        others: Genomes = found[(found != genome).any(axis=1)]
        return others

    def enumerate(self) -> Genomes:
        """Return every genome of the space, (archs, genes).

        Raises:
            InvalidArchError: the space has more than two million archs.
        """
        if self.count() > _LARGEST_ENUMERATION:
            raise InvalidArchError(
                f"{self.name} has {self.count():,} archs, at most {_LARGEST_ENUMERATION:,} can be enumerated",
                "sample it instead, or reduce its options",
            )
        stages = [list(self._enumerate_stage(stage)) for stage in self.stages]
        genomes = np.zeros((self.count(), len(self._options_per_gene)), np.int8)
        kernels, expands = self.kernel_genes(genomes), self.expand_genes(genomes)
        archs = itertools.product(range(len(self.resolutions)), itertools.product(*stages))
        for row, (resolution, choices) in enumerate(archs):
            genomes[row, 0] = resolution
            for s, (depth, kernel_choice, expand_choice) in enumerate(choices):
                genomes[row, 1 + s] = depth
                kernels[row, s, : len(kernel_choice)] = kernel_choice
                expands[row, s, : len(expand_choice)] = expand_choice
        return genomes

    def _enumerate_stage(self, stage: Stage) -> Iterator[tuple[int, tuple[int, ...], tuple[int, ...]]]:
        """Yield the depth, kernel and expand genes of every choice for one stage."""
        kernels = [self.kernel_sizes.index(size) for size in self._kernel_options(stage)]
        for gene, depth in enumerate(self.depths):
            expands = self._expand_gene_options(stage, gene)
            expand_choices = (
                [tuple(expands * depth)] if self.coupled else list(itertools.product(expands, repeat=depth))
            )
            for kernel_choice in itertools.product(kernels, repeat=depth):
                for expand_choice in expand_choices:
                    yield gene, kernel_choice, expand_choice

    def decode(self, genome: Genomes) -> Arch:
        """Turn one genome, (genes,), into an arch."""
        row = genome[None]
        depths = [self.depths[i] for i in self.depth_genes(row)[0]]
        kernels = self.kernel_genes(row)[0]
        expands = self.expand_values(row)[0].tolist()
        return Arch(
            resolution=self.resolutions[genome[0]],
            kernel_sizes=tuple(
                tuple(self.kernel_sizes[i] for i in kernels[s, :d]) for s, d in enumerate(depths)
            ),
            expand_ratios=tuple(tuple(expands[s][:d]) for s, d in enumerate(depths)),
        )

    def encode(self, archs: list[Arch]) -> Genomes:
        """Turn archs into genomes, (archs, genes).

        Raises:
            InvalidArchError: an arch lies outside the space.
        """
        genomes = np.zeros((len(archs), len(self._options_per_gene)), np.int8)
        for row, arch in enumerate(archs):
            self.check(arch)
            genomes[row, 0] = self.resolutions.index(arch.resolution)
            for s, depth in enumerate(arch.depths):
                genomes[row, 1 + s] = self.depths.index(depth)
                for b in range(depth):
                    self.kernel_genes(genomes)[row, s, b] = self.kernel_sizes.index(arch.kernel_sizes[s][b])
                    if self.stages[s].expands:
                        expand = self.expand_ratios.index(arch.expand_ratios[s][b])
                        self.expand_genes(genomes)[row, s, b] = expand
        return genomes

    def check(self, arch: Arch) -> None:
        """Refuse an arch that is not in the space.

        Raises:
            InvalidArchError: names the first value that is not an option.
        """
        step = f"see the options with `mcofa spaces show {self.name}`"

        def refuse(what: str, value: object, options: object) -> None:
            raise InvalidArchError(f"{what} {value} is not in {self.name}; options: {options}", step)

        if len(arch.depths) != len(self.stages):
            refuse("stage count", len(arch.depths), [len(self.stages)])
        expand_depths = tuple(len(stage) for stage in arch.expand_ratios)
        if expand_depths != arch.depths:
            refuse("expand ratios per stage", expand_depths, [arch.depths])
        if arch.resolution not in self.resolutions:
            options = ", ".join(map(resolution_text, self.resolutions))
            refuse("resolution", resolution_text(arch.resolution), f"[{options}]")
        for s, depth in enumerate(arch.depths):
            if depth not in self.depths:
                refuse(f"stage {s + 1}: depth", depth, list(self.depths))
            kernel_sizes = self._kernel_options(self.stages[s])
            for kernel in arch.kernel_sizes[s]:
                if kernel not in kernel_sizes:
                    refuse(f"stage {s + 1}: kernel size", kernel, list(kernel_sizes))
            expand_ratios = self._expand_options(self.stages[s], depth)
            for expand in arch.expand_ratios[s]:
                if expand not in expand_ratios:
                    refuse(f"stage {s + 1}: expand ratio", expand, list(expand_ratios))

    def block_options(self, stage: int, depth_gene: int) -> list[tuple[int, int]]:
        """Return the (kernel, expand) genes that a block of a stage may take when the stage is that deep."""
        return [
            (self.kernel_sizes.index(kernel), expand)
            for kernel in self._kernel_options(self.stages[stage])
            for expand in self._expand_gene_options(self.stages[stage], depth_gene)
        ]

    def _kernel_options(self, stage: Stage) -> tuple[int, ...]:
        return self.kernel_sizes if stage.kernel_size is None else (stage.kernel_size,)

    def _expand_options(self, stage: Stage, depth: int) -> tuple[float, ...]:
        if not stage.expands:
            return (1.0,)
        genes = self._expand_gene_options(stage, self.depths.index(depth))
        return tuple(self.expand_ratios[gene] for gene in genes)

    def _expand_gene_options(self, stage: Stage, depth_gene: int) -> list[int]:
        if not stage.expands:
            return [0]
        return [depth_gene] if self.coupled else list(range(len(self.expand_ratios)))

    @property
    def fingerprint(self) -> str:
        """A hash of everything that defines the space; two spaces of one name may differ.

        Spaces that average by a pool have the hash that they had when there was no other way.
        """
        unsaid = {"global_average"} if self.global_average == "average_pool" else set()
        return hashlib.sha256(self.model_dump_json(exclude=unsaid).encode()).hexdigest()[:16]

    def uncoupled(self) -> SearchSpace:
        """Return the space in which every block is free: no fixed kernel sizes, no coupling."""
        stages = tuple(stage.model_copy(update={"kernel_size": None}) for stage in self.stages)
        return self.model_copy(update={"stages": stages, "coupled": False})

    def uniform(self, resolution: Resolution, depth: int, kernel_size: int, expand_ratio: float) -> Arch:
        """Return the arch whose stages and blocks are all alike, but for blocks that do not expand."""
        kernels = ((kernel_size,) * depth,) * len(self.stages)
        return self.expanded(Arch(resolution, kernels, ()), expand_ratio)

    def expanded(self, arch: Arch, expand_ratio: float) -> Arch:
        """Return the arch with one expand ratio in all blocks that expand."""
        ratios = tuple(
            ((expand_ratio if stage.expands else 1.0),) * depth
            for stage, depth in zip(self.stages, arch.depths, strict=True)
        )
        return replace(arch, expand_ratios=ratios)

    def smallest(self) -> Arch:
        """Return the arch with the smallest option everywhere."""
        first = np.zeros((1, len(self._options_per_gene)), np.int8)
        return self.decode(self._canonical(first)[0])

    def largest(self) -> Arch:
        """Return the arch with the largest option everywhere."""
        last = np.array([[options - 1 for options in self._options_per_gene]], np.int8)
        return self.decode(self._canonical(last)[0])

    def count(self) -> int:
        """Return the exact number of archs."""
        per_stage = (
            sum(self._count_of_stage(stage, gene) for gene in range(len(self.depths)))
            for stage in self.stages
        )
        return len(self.resolutions) * math.prod(per_stage)

    def _count_of_stage(self, stage: Stage, depth_gene: int) -> int:
        kernels, expands = self._kernel_options(stage), self._expand_gene_options(stage, depth_gene)
        return int((len(kernels) * len(expands)) ** self.depths[depth_gene])


def space_names() -> list[str]:
    """Return the names of the spaces that come with mcofa."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_space(name_or_path: str) -> SearchSpace:
    """Load a space by name, or from a file (see ``file_of``).

    Raises:
        UnknownNameError: no space has that name.
        MissingFileError: no such file.
        FileFormatError: the file is no valid space.
    """
    file = file_of(name_or_path)
    if file is None and name_or_path not in space_names():
        raise UnknownNameError("search space", name_or_path, space_names(), "mcofa spaces")
    return _shipped(name_or_path) if file is None else _read(file)


@functools.cache
def _shipped(name: str) -> SearchSpace:
    return _read(_FOLDER / f"{name}.yaml")


def _read(path: Path) -> SearchSpace:
    try:
        return read_model(path, SearchSpace, "compare it with `mcofa spaces show mcofa-micro`")
    except FileNotFoundError as error:
        raise MissingFileError(path, "space file", "list the spaces with `mcofa spaces`") from error
