"""What a saliency map of a scan costs by each method, and how many steps integrated gradients need.

Times one pass of each kind through a model with random weights, on the MNI152 template as the scan, and multiplies by
the passes that a map takes. A mean map takes two of them a scan: of the final model, and of one drawn at random.

    python benchmarks/explain.py --threads 1
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from fedtune3d.models.assembly import assemble
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.explanation import grad_cam, integrated_gradients, places_of, similarity
from fedtune3d.models.tuning import Frozen
from fedtune3d.preparation.registration import register_to_template
from fedtune3d.preparation.template import load_template

STEPS, MANY_STEPS = 16, 64
WIDTH = 16  # voxels of a cube of occlusion: a position of SAM-Med3D's features


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="vit_b")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    template = load_template(128, 1.5)
    inside = template.voxels[template.brain]
    voxels = np.where(template.brain, (template.voxels - inside.mean()) / inside.std(), np.float32(0))
    scan = torch.from_numpy(voxels.astype(np.float32))[None, None]
    found = {
        **cost(model_of(options.encoder), scan, int((places_of((scan[0, 0] != 0).float(), WIDTH) > 0).sum())),
        "registration": seconds(lambda: register_to_template(template.voxels, template.affine, template), 1),
        "steps_similarity": convergence(model_of("tiny"), scan),
    }
    print(f"{options.encoder}, threads: {options.threads}, seconds a map")
    for name in ("gradcam", "occlusion", "integrated_gradients", "registration"):
        print(f"  {name}: {found[name]:.2f}")
    print(f"tiny: maps of {STEPS} and {MANY_STEPS} steps correlate {found['steps_similarity']:.3f}")
    if options.json:
        print(json.dumps(found))


def model_of(encoder: str) -> Classifier:
    """A classifier with random weights."""
    model = assemble(encoder, "random", "conv_s", Frozen(), 1).model.eval()
    assert isinstance(model, Classifier)
    return model


def cost(model: Classifier, scan: torch.Tensor, cubes: int) -> dict[str, float]:
    """Seconds a map: Grad-CAM on features that are there, and the passes that the others take."""
    with torch.inference_mode():
        features = model.run_stages(scan, 0, model.stage_count - 1).clone()
        forward = seconds(lambda: model(scan), 2)
    return {
        "gradcam": seconds(lambda: grad_cam(model, features), 3),
        "occlusion": (1 + cubes) * forward,
        "integrated_gradients": STEPS * seconds(lambda: integrated_gradients(model, scan, steps=1), 2),
    }


def convergence(model: Classifier, scan: torch.Tensor) -> float:
    """The correlation of the map of the default number of steps with that of many."""
    few, many = (integrated_gradients(model, scan, steps=steps) for steps in (STEPS, MANY_STEPS))
    return similarity(few, many)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The best of some times, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
