"""A designed space as a YAML file."""

from __future__ import annotations

from pathlib import Path

import yaml

from mcofa.design.report import DesignReport
from mcofa.errors import McofaError
from mcofa.files.atomic import write_atomic


def write_space(report: DesignReport, path: Path) -> None:
    """Write the designed space as a file that ``load_space`` reads, its assumptions as comments.

    Raises:
        McofaError: the path does not end in ``.yaml``.
        DiskWriteError: the operating system refused to write.
    """
    if path.suffix != ".yaml":
        raise McofaError(f"{path} does not end in .yaml, as a space file must", f"--out {path}.yaml")
    write_atomic(path, space_yaml(report).encode())


def space_yaml(report: DesignReport) -> str:
    """Return the text of the space file."""
    space = report.space
    comments = [f"Made by mcofa design-space for {report.conditions.board.name}: what it assumed."]
    comments += report.assumptions
    comments += [
        f"The {which} subnet: arena {found.arena_bytes:,} B, {report.conditions.network} "
        f"{found.needs.flash.data_bytes:,} B, {found.macs / 1e6:.2f} M MACs."
        for which, found in (("smallest", report.smallest), ("largest", report.largest))
    ]
    comments += [
        f"Stage {number}: {stage.arena_bytes:,} B of arena, {stage.flash_bytes:,} B of flash (held by "
        f"{stage.limit}) in the largest subnet."
        for number, stage in enumerate(report.stages, 1)
    ]
    comments += report.limits
    plain = space.model_dump(mode="json", exclude={"stem", "stages", "head", "coupled", "global_average"})
    lines = [f"# {line}" for line in comments]
    lines += [f"{key}: {_flow(value)}" for key, value in plain.items()]
    lines += [f"stem: {_flow(space.stem.model_dump())}", "stages:"]
    lines += [f"  - {_flow(stage.model_dump(exclude_none=True))}" for stage in space.stages]
    lines += [f"head: {_flow(space.head.model_dump())}"]
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    """One YAML value on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=1_000_000, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("...\n").strip()
