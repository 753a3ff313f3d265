"""Types of arrays; every volume has its axes in the order (x, y, z)."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Volume: TypeAlias = NDArray[np.float32]
"""Intensities."""

Mask: TypeAlias = NDArray[np.bool_]
"""True in the brain."""

Affine: TypeAlias = NDArray[np.float64]
"""(4, 4), from voxel indices to millimetres in RAS, or from one space's millimetres to another's."""

Box: TypeAlias = "tuple[slice[int, int, None], slice[int, int, None], slice[int, int, None]]"
"""A part of a volume."""

AnyVolume: TypeAlias = NDArray[np.float32 | np.float16 | np.bool_ | np.uint8 | np.int16]
"""Intensities, masks or labels."""

Numbers: TypeAlias = NDArray[np.float64]
"""Numbers on which statistics are computed, of any shape."""
