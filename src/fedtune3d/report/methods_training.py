"""Sentences on a run's model and its federated training."""

from collections.abc import Iterator

from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.models.assembly import NCC
from fedtune3d.models.tuning import Full, Lora
from fedtune3d.report.number_formatting import encoder_title, head_title, plural, rule_title
from fedtune3d.report.references import OF_ENCODER, OF_RULE, Citations
from fedtune3d.report.run_contents import FinishedRun

LORA_MODES = {
    "factors": ("the two factors of each adapter were aggregated one by one", None),
    "exact": ("products of factors were aggregated exactly", "singhal"),
    "restart": ("products of factors were aggregated exactly, and adapters restarted in each round", "singhal"),
    "freeze_a": ("the factor A was kept fixed and B aggregated", "sun"),
}
BEST_ROUND = {
    "latest_within_error": "the latest round at which the validation AUC, alone and averaged over five rounds, was "
    "within one standard error of the best such average",
    "highest_auc": "the round with the highest validation AUC, mean over sites",
    "last": "the last round",
}


def model_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    """Describe encoder, weights, head and tuning."""
    encoder, weights, cost = experiment.model.encoder, run.environment.weights, run.metrics.cost
    named = f"{encoder_title(encoder)}{cite(OF_ENCODER.get(encoder))}"
    if experiment.encoder is None:
        yield f"The model was {named}, trained from scratch."
    elif weights.source == "random":
        yield f"The encoder was {named} with random weights, drawn from the seed: it was not pre-trained."
    else:
        digest = f" (SHA-256 {weights.sha256})" if weights.sha256 else ""
        yield f"The encoder was {named}, initialised with the weights of {weights.source}{digest}."
    if experiment.encoder is not None:
        yield from _tuning_sentences(experiment, cite)
    yield f"Of {cost.parameters:,} parameters {cost.trainable_parameters:,} were trained."


def _tuning_sentences(experiment: Experiment, cite: Citations) -> Iterator[str]:
    tuning = experiment.tuning
    if experiment.model.head == NCC:
        yield "Scans were classified by the nearest class centre of the encoder's features, without training."
        return
    title = head_title(experiment.model.head)
    head = f"a {title if title[:2].isupper() else title[0].lower() + title[1:]}"
    if isinstance(tuning, Lora):
        yield (
            f"LoRA adapters{cite('hu')} (rank {tuning.rank}, α = {tuning.alpha:g}, projections "
            f"{', '.join(tuning.projections)}) and {head} were trained, the rest of the encoder was frozen."
        )
    elif isinstance(tuning, Full):
        yield f"The whole encoder and {head} were trained."
    else:
        yield f"The encoder was frozen, and {head} was trained on its features."


def training_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    """Describe rule, local training, participation, protection and the choice of the round."""
    rule = experiment.aggregation.rule
    rounds = sum(line.trains for line in run.ledger)
    yield f"Sites trained in {plural(rounds, 'round')}, aggregated by {rule_title(rule)}{cite(OF_RULE.get(rule))}."
    if isinstance(experiment.tuning, Lora):
        how, source = LORA_MODES[experiment.aggregation.lora_mode]
        yield f"Of LoRA adapters, {how}{cite(source)}."
    if experiment.model.head != NCC:
        yield from _local_sentences(experiment, cite)
    yield from _participation_sentences(run, experiment)
    yield from _protection_sentences(run, experiment, cite)
    choice = experiment.training.best_round
    source = "breiman" if choice == "latest_within_error" else None
    best = BEST_ROUND[choice]
    if isinstance(experiment.outcome, NumberOutcome) and choice != "last":
        best, source = "the round with the lowest root mean squared validation error, mean over validation scans", None
    elif not experiment.outcome.is_binary:
        best = best.replace("validation AUC", "macro-averaged validation AUC")
    chosen = "" if run.metrics.best_round is None else f", round {run.metrics.best_round}"
    yield (f"The evaluated state is that of {best}{cite(source)}{chosen}; test scans were not used in the selection.")


def times(count: int) -> str:
    """Format a number of times: `once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _local_sentences(experiment: Experiment, cite: Citations) -> Iterator[str]:
    training = experiment.training
    adamw = training.optimizer == "adamw"
    optimizer = f"AdamW{cite('loshchilov')}" if adamw else f"SGD (momentum {training.momentum:g})"
    rates = f"learning rate {training.head_learning_rate:g}"
    if experiment.tuning.method != "frozen":
        of_encoder = f"{training.encoder_learning_rate:g} (encoder)"
        rates = f"learning rates {training.head_learning_rate:g} (head) and {of_encoder}"
    private = experiment.privacy.epsilon is not None
    clip = "" if training.clip_norm is None or private else f", gradients clipped to a norm of {training.clip_norm:g}"
    outcome = experiment.outcome
    loss = ("class-weighted " if training.class_weighted else "") + "cross-entropy"
    if isinstance(outcome, NumberOutcome):
        error = "squared" if outcome.loss == "mse" else "absolute"
        loss = f"mean {error} error, numbers scaled by the declared range"
    yield (
        f"In each round a site passed over its training scans {times(training.local_epochs)} in batches of "
        f"{training.batch_size} with {optimizer} ({rates}, {training.schedule} schedule, weight decay "
        f"{training.weight_decay:g}{clip}), on {loss}."
    )
    if training.min_steps:
        floor = training.min_steps
        yield (
            f"Sites that made fewer than {floor} steps that way repeated whole passes until there were at least "
            f"{floor}."
        )
    if training.augmentation is not None:
        yield "Training scans were augmented at random (flips, affine transforms, bias field, gamma and noise)."


def _participation_sentences(run: FinishedRun, experiment: Experiment) -> Iterator[str]:
    if (fraction := experiment.participation.fraction) < 1:
        yield f"A random {100 * fraction:g}% of sites trained in each round."
    missed = sum(entry.fault is not None for line in run.ledger if line.trains for entry in line.sites.values())
    if missed:
        yield f"{plural(missed, 'update')} {'was' if missed == 1 else 'were'} missing or rejected."


def _protection_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    yield (
        "All sites ran on one machine, which held the scans of all of them; each site trained on its own scans only."
        if run.on_one_machine
        else "Scans stayed at their sites."
    )
    privacy = experiment.privacy
    if privacy.secure_aggregation:
        yield f"With secure aggregation{cite('bonawitz')} the server saw only sums of the sites' updates."
    if privacy.epsilon is not None:
        yield (
            f"Training was differentially private per person{cite('abadi')} (ε = {privacy.epsilon:g}, "
            f"δ = {privacy.delta:g}, clipping norm {privacy.clip:g})."
        )
