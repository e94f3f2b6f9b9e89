"""What people call a score, and how it is shown: one name on the terminal, in cards, gates and reports."""

SHOWN_AS = {"mcc": "MCC", "log_loss": "log-loss", "macro_f1": "macro-F1", "micro_f1": "micro-F1"}
NO_SHARES = ("mcc", "log_loss", "calibration_error", "quadratic_kappa", "mean_absolute_error")


def called(score: str) -> str:
    """`macro_f1` → `macro-F1`, `quadratic_kappa` → `quadratic kappa`."""
    return SHOWN_AS.get(score) or score.replace("_", " ")


def is_share(score: str) -> bool:
    """Whether a score is a part of a whole, which is shown in percent."""
    return score not in NO_SHARES
