"""What `adapter_config.json` says of a LoRA adapter, and which of it means more than a pair of matrices per module."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

PLAIN_NAME = re.compile(r"[\w.]+\Z")
"""Of a module: regular expressions of strangers may take for ever."""
# Each changes what is computed in a way that a pair of matrices per module does not say.
REFUSED = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "modules_to_save",
    "layer_replication",
    "fan_in_fan_out",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "monteclora_config",
    "arrow_config",
    "kasa_config",
)
SOUND_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
_Factor = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]


class AdapterSettings(msgspec.Struct, frozen=True):
    """What any engine reads of `adapter_config.json`."""

    peft_type: str
    lora_alpha: _Factor = 8.0
    use_rslora: bool | None = False
    bias: str | None = "none"
    init_lora_weights: bool | str | None = True
    alpha_pattern: dict[str, _Factor] | None = None
