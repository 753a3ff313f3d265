"""The grid of prepared scans and of the features that encoders make of them, the same for every encoder so far."""

SIZE = 128
"""Voxels of a prepared scan along each axis; axes are RAS."""

SPACING_MM = 1.5
"""Width of a voxel of a prepared scan."""

STRIDE = 16
"""Voxels along each axis behind one position of the features."""

POSITIONS = SIZE // STRIDE
"""Positions of the features along each axis."""

CHANNELS = 384
"""Channels of the features."""
