"""The copies of TensorFlow Lite Micro that people have: a data file each, and how to read one.

Sizes of structs, options and kernel data move from version to version, and so do some of the rules by
which kernels ask for memory. The version of TFLM's wheel is the default: its file is complete, and what
an op takes in it stands in the op's record (``mcofa.ops``). Every other file says what differs.
"""

from mcofa.tflm_versions.load import DEFAULT_VERSION, default_version, load_version, version_names
from mcofa.tflm_versions.version import KernelData, Rules, Structs, TflmVersion

__all__ = [
    "DEFAULT_VERSION",
    "KernelData",
    "Rules",
    "Structs",
    "TflmVersion",
    "default_version",
    "load_version",
    "version_names",
]
