"""NVFlare's FedAvg in its simulator. Called by `engines.py`: python nvflare_job.py EXPERIMENT.yaml TIMES WORKSPACE"""

import sys
from pathlib import Path

from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv

from fedtune3d.config.experiment import Experiment


def main() -> None:
    """Run the rounds, a thread a site."""
    path, times, workspace = sys.argv[1:]
    experiment = Experiment.from_yaml(Path(path))
    sites = len(experiment.sites)
    recipe = FedAvgRecipe(
        name="fedavg",
        model={"class_path": "nvflare_model.Head", "args": {"experiment": path}},
        min_clients=sites,
        num_rounds=experiment.training.rounds,
        train_script=str(Path(__file__).with_name("nvflare_site.py")),
        train_args=f"{path} {times}",
    )
    recipe.execute(SimEnv(num_clients=sites, num_threads=sites, workspace_root=workspace))


if __name__ == "__main__":
    main()
