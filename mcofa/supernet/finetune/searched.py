"""The arch that a run's search chose, and the supernet to take it from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mcofa.files.resources import data_folder
from mcofa.runs.run import Run
from mcofa.space.arch import Arch
from mcofa.supernet.network.checkpoint import Header, load_supernet_of
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.network.trained import check_trained


@dataclass(frozen=True)
class Searched:
    """A searched arch, with the supernet of ``checkpoint`` and its header."""

    arch: Arch
    supernet: Supernet
    header: Header
    checkpoint: Path
    checkpoint_sha256: str

    @property
    def provenance(self) -> dict[str, str]:
        """What a manifest says of the checkpoint."""
        return {"file": str(self.checkpoint), "sha256": self.checkpoint_sha256}


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
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return Searched(arch, supernet, header, checkpoint, sha256)


def default_checkpoint(run: Run) -> Path:
    """Return the checkpoint that the run was fine-tuned from, or verified with, or that of the zoo.

    Raises:
        RunError: the run holds no search result.
    """
    searched = run.search
    for section in (run.finetune, searched.verified):
        if section is not None:
            return Path(section.checkpoint.file)
    return data_folder("zoo") / f"{searched.space}.safetensors"
