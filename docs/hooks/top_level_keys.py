"""What the keys at the top of an experiment and of a study file mean; those of all other sections say so themselves."""

from fedtune3d.config.experiment import ExperimentKeys, Splits
from fedtune3d.config.model import ModelSection
from fedtune3d.config.study import Study

TOP_LEVEL_KEYS: dict[type, dict[str, str]] = {
    ExperimentKeys: {
        "name": "Name of the experiment, in its report and, across hospitals, in approvals.",
        "seed": "Everything random follows from the seed, the site and the round.",
        "sites": "The sites, at least one.",
        "labels": "Diagnoses of the positive and of the negative class; a site may have its own (docs/data.md).",
        "splits": "How people are divided into training, validation and test sets.",
        "preparation": "How scans are prepared for the encoder (docs/preparation.md).",
        "model": "The encoder, its weights and the head.",
        "tuning": "Which parameters train (docs/heads.md).",
        "training": "How each site trains in a round.",
        "aggregation": "The aggregation rule and its options.",
        "participation": "Which sites take part in a round, and what happens when one does not answer.",
        "privacy": "Secure aggregation and differential privacy (docs/privacy.md).",
        "baselines": "Models to compare with: each site alone (`local`), all scans in one place (`centralized`), all "
        "sites but one (`leave_one_site_out`).",
        "evaluation": "How the test results are calculated (docs/evaluation.md).",
        "explain": "Method of the mean saliency map per site, or null for none (docs/explain.md).",
        "on_bad_scan": "Whether a scan that cannot be used stops the run, or is left out, counted and listed.",
        "threads": "CPU threads; part of the experiment, because the order of sums depends on it.",
        "workers": "Processes that hold the sites of a run on one machine; the results do not depend on it.",
        "device": "Where models run; `auto` uses a CUDA GPU if there is one.",
        "log": "Also log to TensorBoard, MLflow, or both.",
        "output": "Folder of the results.",
        "cache": "Folder of prepared scans and features, which runs share.",
    },
    Splits: {
        "train": "Fraction of the people of each class whose scans are trained on; the three sum to 1.",
        "validation": "Fraction on which the round and the thresholds are chosen.",
        "test": "Fraction that is used for the reported results only.",
    },
    ModelSection: {
        "encoder": "The encoder's name (docs/encoders.md).",
        "encoder_sha256": "SHA-256 of the file of an encoder of your own, across hospitals (docs/encoders.md).",
        "weights": "The encoder's weights: `random`, `packaged`, or the path of a checkpoint (docs/weights.md). "
        "Without this key, `packaged` where the encoder has such weights.",
        "head": "The classification head's name (docs/heads.md).",
        "accept_licence": "Accept the licence of weights that are not under a permissive one.",
        "precision": "Number format in which a frozen encoder is computed (docs/encoders.md).",
    },
    Study: {
        "seeds": "Seeds, in place of `seed`; each combination is run once per seed.",
        "design": "`stages`: the heads, then the tunings with the best head, then the rules with the best of both "
        "(docs/study.md). `crossed`: every combination.",
        "encoders": "Encoders to compare (docs/study.md).",
        "heads": "Heads to compare.",
        "references": "References shown next to the heads and never selected: `ncc`, `resnet18`, `random`.",
        "tunings": "Tunings to compare.",
        "rules": "Aggregation rules to compare.",
    },
}
