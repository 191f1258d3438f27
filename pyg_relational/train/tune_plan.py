"""What a study shall do, and the checks that its search space fits its recipe."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyg_relational.train.errors import UsageError
from pyg_relational.train.recipe import PARTS
from pyg_relational.train.registry import dataset_class
from pyg_relational.train.search_space import Distribution, read_space
from pyg_relational.train.settings import check_settings
from pyg_relational.train.study import Study
from pyg_relational.train.tasks import Task, task_of

# Options of `tune` that stand for one of the options that may be tuned.
SHORT = {"epochs": "budget.max_epochs", "max_steps": "budget.max_steps"}


@dataclass(frozen=True)
class Plan:
    """What a study shall do.

    Args:
        config (dict): What :func:`~pyg_relational.train.run.configure` returned.
        search (dict): The section ``search`` of the recipe, resolved.
        folder (Path): The folder of the study.
        trials (int): Trials in all, earlier ones included. (default: ``20``)
        sampler (str): ``"tpe"`` or ``"random"``. (default: ``"tpe"``)
        pruner (str): ``"median"`` or ``"none"``. (default: ``"median"``)
        workers (int): Processes that run trials. (default: ``1``)
        threads (int, optional): CPU threads of each; ``None`` shares the cores out
            among workers. (default: ``None``)
        deadline (float, optional): Time, as :func:`time.time` counts it, after which no
            trial begins. (default: ``None``)
        options (dict): Options of ``train`` that the configuration came from; the best
            ones are written with them. (default: ``{}``)
    """

    config: dict[str, Any]
    search: dict[str, Any]
    folder: Path
    trials: int = 20
    sampler: str = "tpe"
    pruner: str = "median"
    workers: int = 1
    threads: int | None = None
    deadline: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """The task of the dataset."""
        return task_of(dataset_class(self.config["dataset"]["class"]).task)

    def space(self) -> dict[str, Distribution]:
        """Return the distributions of the options that are tuned.

        Raises:
            UsageError: If there are none, or one names an option that the
                configuration does not have or a value that it cannot take.
        """
        where = f"'search' of recipe '{self.config['recipe']}'"
        space = read_space(self.search, where)
        if not space:
            raise UsageError(
                f"recipe '{self.config['recipe']}' has no section 'search'; add one, "
                "such as search: {optimizer.learning_rate: {low: 1.0e-4, high: "
                "1.0e-2, log: true}}"
            )
        values = ((key, space[key].examples()) for key in space)
        check_settings({**self.config, "baseline": None}, values, where)
        fixed = {**(self.options.get("set") or {})}
        fixed |= {key: self.options.get(option) for option, key in SHORT.items()}
        for key in space:
            if fixed.get(key) is not None:
                raise UsageError(
                    f"{where}: {key} cannot be both searched and given as an option; "
                    "leave out either"
                )
        return space

    def study(self) -> Study:
        """Open the study.

        Raises:
            UsageError: As :meth:`space` and :class:`~pyg_relational.train.study.Study`.
        """
        keys = ("recipe", "size", "representation", "model_name", "seed", "precision")
        identity = {key: self.config[key] for key in keys}
        identity |= {part: self.config[part] for part in PARTS if part != "baseline"}
        # Where the data lies does not change what is learnt from it.
        dataset = self.config["dataset"]
        identity["dataset"] = {k: v for k, v in dataset.items() if k != "root"}
        identity["search"] = self.search
        return Study(self.folder, identity, self.space(), self.task.mode)
