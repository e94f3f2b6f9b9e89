"""Columns that several tables and axes have, so that one thing has one name on every page and in every CSV."""

from rankwise.data.tasks import Task
from rankwise.report.blocks import Column
from rankwise.stats.score_names import called, is_share

RECIPE = Column("recipe", "recipe")
RUN = Column("run", "run")
SEED = Column("seed", "seed", "count")
UPDATE = Column("update", "update", "count")
EPOCH = Column("epoch", "epoch", "number")
BEST_UPDATE = Column("best_update", "best at update", "count")
TRAINED_PARAMETERS = Column("trained_parameters", "trained parameters", "count")
SECONDS = Column("seconds", "training time", "seconds")
PEAK_GB = Column("peak_gb", "peak memory, GB", "number")

TEXT = "a text"  # the label of columns that hold texts of the data

ACCURACY = Column("accuracy", "accuracy, %", "share")
MACRO_F1 = Column("macro_f1", "macro-F1, %", "share")
MCC = Column("mcc", "MCC", "number")
LOG_LOSS = Column("log_loss", "log-loss, nats", "number")
CALIBRATION_ERROR = Column("calibration_error", "calibration error", "number")
SCORES = {column.name: column for column in (ACCURACY, MACRO_F1, MCC, LOG_LOSS, CALIBRATION_ERROR)}


def columns_of(task: Task) -> tuple[Column, Column, Column]:
    """The scores that recipes of a task are set beside each other by: the two of `rankwise compare`, and a loss."""
    one, other = map(column_of, task.compared_by)
    return one, other, LOG_LOSS if task.has_classes else column_of("root_mean_squared_error")


def column_of(name: str) -> Column:
    """The column of a score by its name, one that only some tasks have too."""
    key, label = name.replace(" ", "_"), called(name)
    return SCORES.get(name) or (Column(key, f"{label}, %", "share") if is_share(name) else Column(key, label, "number"))
