"""`spec.engine`: which inference engine, and what is added to its arguments."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from videollm_operator.api.base import APIModel, list_map, rule, rules
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

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.value) != has(self.valueFrom)",
                "an entry of `spec.engine.env` must have exactly one of `value` and `valueFrom`",
            )
        )
    }

    name: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    ] = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="Its value."
    )
    value_from: EnvVarSource | None = Field(default=None, description="Where to take it from.")


class EngineSpec(APIModel):
    """The inference engine."""

    type: EngineType = Field(
        default=EngineType.AUTO,
        description="Auto picks by architecture, quantization and modality.",
    )
    version: Annotated[str, Field(max_length=32, pattern=r"^([0-9]+\.[0-9]+\.[0-9]+)?$")] = Field(
        default="", description="Version of the engine. Default: the catalogue's."
    )
    image: Annotated[str, Field(max_length=1024, pattern=r"^[^\s]*$")] = Field(
        default="", description="Container image. Default: the catalogue's image of that version."
    )
    extra_args: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=64)
    ] = Field(
        default_factory=list,
        description="Further arguments for the engine, one list item each. Checked against the "
        "flags of that engine version; may not contradict the plan.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(
        default_factory=list,
        description="Further environment variables. Names that the plan owns are refused.",
        json_schema_extra=list_map("name"),
    )
    allow_unchecked_args: bool = Field(
        default=False,
        description="Pass `extraArgs` on even if this engine version's flag table does not know "
        "them. Flags that the plan owns stay refused.",
    )
