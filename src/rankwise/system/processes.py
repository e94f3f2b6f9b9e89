"""What the processes of one launch, as torchrun starts them, must do alike: the main one decides."""

from typing import TypeVar

from accelerate.utils import broadcast_object_list

T = TypeVar("T")


def of_main_process(own: T) -> T:
    """The main process's value in every process, each of which calls this; where there is one process, its `own`."""
    held = [own]
    broadcast_object_list(held)
    return held[0]
