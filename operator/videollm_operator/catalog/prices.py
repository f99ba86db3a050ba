"""What an admin pays for a GPU. There is no built-in price: they differ by contract and change."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from videollm_operator.api.base import APIModel
from videollm_operator.api.rules import Rule, matching

MOST = 1_000_000
"""More per hour is a price in another unit."""

Price = Annotated[
    float,
    Field(strict=True),
    Rule(
        "",
        "must be a price per GPU and hour: more than 0, and at most 1000000",
        lambda price: 0 < price <= MOST,
        "",
    ),
]


class Prices(APIModel):
    """Prices per GPU and hour, by SKU; the planner uses them to find the cheapest GPU."""

    currency: Annotated[
        str,
        Field(min_length=1, max_length=12),
        matching(r"[^\s\x00-\x1f]*", "must be one word such as 'USD'"),
    ] = Field(description="What the prices are in, such as USD. For people: nothing is converted.")
    per_gpu_hour: Annotated[dict[str, Price], Field(min_length=1, max_length=1000)] = Field(
        alias="perGPUHour",
        description="SKU to the price of one GPU for an hour. MIG slices are SKUs too.",
    )
