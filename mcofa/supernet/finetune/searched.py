"""The arch that a run's search chose, and the supernet to take it from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcofa.files.resources import data_folder
from mcofa.runs.run import Run
from mcofa.runs.sources import find_source, recorded_source
from mcofa.space.arch import Arch
from mcofa.supernet.network.checkpoint import Header, load_supernet_of
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.network.trained import check_trained


@dataclass(frozen=True)
class Searched:
    """A searched arch, with the supernet of ``checkpoint`` and its header.

    ``provenance`` is what the run's manifest says of the checkpoint.
    """

    arch: Arch
    supernet: Supernet
    header: Header
    checkpoint: Path
    provenance: dict[str, str]

    @property
    def checkpoint_sha256(self) -> str:
        """The hash of the checkpoint."""
        return self.provenance["sha256"]


def load_searched(run: Run, checkpoint: Path) -> Searched:
    """Read the run's arch, and ``checkpoint``, which must hold the space that was searched.

    Raises:
        RunError: the run holds no search result.
        MissingFileError: there is no such checkpoint.
        FileFormatError: the checkpoint is damaged, of another space than the search's, or has not come to
            the arch yet.
        InvalidArchError: the manifest's arch is not in the space that it names.
    """
    searched, arch = run.search, run.arch
    header, supernet = load_supernet_of(searched.space, searched.space_fingerprint, checkpoint)
    header.space.check(arch)
    check_trained(checkpoint, header, arch)
    return Searched(arch, supernet, header, checkpoint, recorded_source(checkpoint, run.folder))


def default_checkpoint(run: Run) -> Path:
    """Return the checkpoint that the run was fine-tuned from, or verified with, or that of the zoo.

    Raises:
        RunError: the run holds no search result.
        MissingFileError: it is not there any more.
        FileFormatError: it has changed since.
    """
    searched = run.search
    for section, made_by in ((run.finetune, "fine-tuned from"), (searched.verified, "verified with")):
        if section is not None:
            what = f"checkpoint that the run was {made_by}"
            return find_source(section.checkpoint, run.folder, what, "name the checkpoint with --checkpoint")
    return data_folder("zoo") / f"{searched.space}.safetensors"
