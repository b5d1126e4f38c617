"""What a result says about how its features were computed."""

from dataclasses import dataclass, field
from typing import Literal

EngineName = Literal["torch", "openvino"]
Precision = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """How features were computed.

    Parameters
    ----------
    name
        Library that computed.
    device_name
        On what, for people: ``cpu (2 threads)``, or the name of the accelerator.
    precision
        Arithmetic.
    batch_size
        Most tiles that went through the network at once.
    probe_ms
        What was measured before the choice: milliseconds per tile, by candidate; empty where there was no choice.
    steps_down
        What was given up because memory ran out, in plain words, in this order; empty where all went as chosen.
    """

    name: EngineName
    device_name: str
    precision: Precision
    batch_size: int
    probe_ms: dict[str, float] = field(default_factory=dict)
    steps_down: tuple[str, ...] = ()

    def __str__(self) -> str:
        steps = f"; {'; '.join(self.steps_down)}" if self.steps_down else ""
        return f"by {self.name} in {self.precision} on {self.device_name}{steps}"
