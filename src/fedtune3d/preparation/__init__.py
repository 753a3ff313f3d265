"""From a file to a prepared scan: reading, brain extraction, bias correction, registration, intensities, quality."""
