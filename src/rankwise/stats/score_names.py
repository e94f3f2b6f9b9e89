"""What people call a score, and how it is shown: one name on the terminal, in cards, gates and reports."""

SHOWN_AS = {
    "mcc": "MCC",
    "log_loss": "log-loss",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "r2": "R²",
}
OF_CLASSES = ("accuracy", "macro_f1", "mcc", "log_loss", "calibration_error")  # that every task of classes has
OF_NUMBERS = ("pearson", "spearman", "mean_absolute_error", "root_mean_squared_error", "r2")  # of an estimated number
MINIMISED = ("log_loss", "calibration_error", "mean_absolute_error", "root_mean_squared_error")  # of which less is better
NO_SHARES = ("mcc", "log_loss", "calibration_error", "quadratic_kappa", *OF_NUMBERS)


def called(score: str) -> str:
    """`macro_f1` → `macro-F1`, `quadratic_kappa` → `quadratic kappa`."""
    return SHOWN_AS.get(score) or score.replace("_", " ")


def is_share(score: str) -> bool:
    """Whether a score is a part of a whole, which is shown in percent."""
    return score not in NO_SHARES
