"""From a file to a prepared scan: reading, brain extraction, bias, registration, intensities, quality control."""
