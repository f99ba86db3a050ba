"""`spec.engine`: which inference engine, and what is added to its arguments."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictBool

from videollm_operator.api.base import APIModel
from videollm_operator.api.fields import NO_NUL
from videollm_operator.api.rules import MergedBy, Rule, matching
from videollm_operator.api.v1alpha1.model import SecretKeyRef


class EngineType(StrEnum):
    """The inference engines that the operator knows."""

    AUTO = "Auto"
    VLLM = "VLLM"
    SGLANG = "SGLang"
    TGI = "TGI"


class EnvVarSource(APIModel):
    """Where a variable's value comes from."""

    secret_key_ref: SecretKeyRef = Field(description="Key of a Secret in this namespace.")


class EnvVar(APIModel):
    """One environment variable of the engine's container."""

    cel_rules = (
        Rule(
            "has(self.value) != has(self.valueFrom)",
            "an entry of `spec.engine.env` must have exactly one of `value` and `valueFrom`: "
            "add or remove one",
            lambda self: (self.value is None) != (self.value_from is None),
        ),
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=128),
        matching(
            "[A-Za-z_][A-Za-z0-9_]*",
            "must be the name of an environment variable: letters, digits and '_', not beginning "
            "with a digit",
        ),
    ] = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=4096), NO_NUL] | None = Field(
        default=None, description="Its value."
    )
    value_from: EnvVarSource | None = Field(default=None, description="Where to take it from.")


class EngineSpec(APIModel):
    """The inference engine."""

    cel_rules = (
        Rule(
            "self.type != 'Auto' || !has(self.version) || self.version == ''",
            "`spec.engine.version` needs `type`: say whose version it is (VLLM, SGLang or TGI), "
            "or remove `version`",
            lambda self: self.type != EngineType.AUTO or not self.version,
            ".version",
        ),
        Rule(
            "self.type != 'Auto' || !has(self.image) || self.image == ''",
            "`spec.engine.image` needs `type`: say which engine is in the image (VLLM, SGLang or "
            "TGI), or remove `image`",
            lambda self: self.type != EngineType.AUTO or not self.image,
            ".image",
        ),
    )

    type: EngineType = Field(
        default=EngineType.AUTO,
        description="Auto picks by architecture, quantization and modality.",
    )
    version: Annotated[
        str,
        Field(max_length=32),
        matching(
            "([0-9]+[.][0-9]+[.][0-9]+)?",
            "must be three numbers such as '0.32.0', without a leading 'v': correct it, or remove "
            "the field for the catalogue's version",
        ),
    ] = Field(default="", description="Version of the engine. Default: the catalogue's.")
    image: Annotated[
        str,
        Field(max_length=1024),
        matching(r"[^\s]*", "must be an image reference without white space"),
    ] = Field(
        default="", description="Container image. Default: the catalogue's image of that version."
    )
    extra_args: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096), NO_NUL]], Field(max_length=64)
    ] = Field(
        default_factory=list,
        description="Further arguments for the engine, one list item each. Checked against the "
        "flags of that engine version; may not contradict the plan.",
    )
    env: Annotated[list[EnvVar], Field(max_length=64), MergedBy("name")] = Field(
        default_factory=list,
        description="Further environment variables. Names that the plan owns are refused.",
    )
    allow_unchecked_args: StrictBool = Field(
        default=False,
        description="Pass `extraArgs` on even if this engine version's flag table does not know "
        "them. Given up is the check: a flag that is wrong ends the engine at its start, and what "
        "it costs of GPU memory is not in the plan. Flags that the plan owns stay refused.",
    )
