"""What an operator decides for a team: keys, budgets, rate limits, models, routes, windowing."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    model_validator,
)


class Section(BaseModel):
    """A part of the configuration: cannot change, and knows all its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def yaml_switch(value: object) -> object:
    """Turn YAML's bare `on` and `off`, which it reads as booleans, back into words."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a time zone such as UTC or Europe/Vienna") from None
    return name


class Route(StrEnum):
    """What of the API a team may use."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODELS = "models"
    OTHER = "other"


# A name of dots alone would lead elsewhere in a URL.
TEAM_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")


def _team_name(name: str) -> str:
    if not TEAM_NAME.fullmatch(name):
        raise ValueError("expected a name of 1 to 64 letters, digits, dots, dashes, underscores")
    return name


TeamName = Annotated[str, AfterValidator(_team_name)]
# A bound on the length has pydantic look at the text, and refuse half a character.
ModelName = Annotated[str, Field(max_length=1000)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
WindowTokens = Annotated[int, Field(ge=100, le=1_000_000_000)]
MODES = Literal["on", "shadow", "off"]
Percent = Annotated[int, Field(gt=0, lt=100)]


class BudgetSettings(Section):
    """A limit on what is spent in one period."""

    usd: float | None = Field(None, ge=0, le=9_000_000, description="limit in USD; or")
    tokens: int | None = Field(None, ge=0, le=10**15, description="limit in tokens, of prompts and completions")
    period: Literal["hour", "day", "week", "month", "total"] = "month"
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field("UTC", description="in which periods begin")
    per: Literal["team", "key", "user", "model"] = Field(
        "team", description="whose spending counts: all of the team's, or each key's, user's or model's by itself"
    )
    models: tuple[ModelName, ...] = Field((), description="requests for these models count; empty: all")
    soft: tuple[Percent, ...] = Field((), description="percentages that are announced once each when they are reached")
    narrow: dict[Percent, WindowTokens] = Field(
        default_factory=dict, description="largest window_tokens from a percentage on, as in {80: 1000, 95: 500}"
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.usd is None) == (self.tokens is None):
            raise ValueError("expected either usd or tokens")
        return self


def _budget_form(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "one"


Budgets = Annotated[
    Annotated[BudgetSettings, Tag("one")] | Annotated[tuple[BudgetSettings, ...], Tag("list")],
    Discriminator(_budget_form),
]


class RateSettings(Section):
    """How much at once; counted by calendar minute."""

    requests_per_minute: int | None = Field(None, ge=1, le=10**9)
    tokens_per_minute: int | None = Field(
        None, ge=1, le=10**15, description="prompt and completion, the most it can be at first"
    )
    concurrent: int | None = Field(None, ge=1, le=10**9, description="requests under way at the same time")

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return not (self.requests_per_minute is self.tokens_per_minute is self.concurrent is None)


class TeamWindowing(Section):
    """What a team has of windowing otherwise than everybody else; what is not set is as it is for all."""

    mode: Annotated[MODES | None, BeforeValidator(yaml_switch)] = None
    trigger_tokens: Tokens | None = None
    window_tokens: WindowTokens | None = None
    min_window_tokens: WindowTokens | None = None
    max_window_tokens: WindowTokens | None = None
    target_confidence: float | None = Field(None, gt=0, lt=1)


class TeamPolicy(Section):
    """What holds for a team, wherever it was declared."""

    budget: Budgets | None = None
    limits: RateSettings = RateSettings()
    models: tuple[ModelName, ...] = Field((), description="models that its keys may ask for; empty: all")
    routes: tuple[Route, ...] | None = Field(
        None, description="unset: all; with a budget or a limit on tokens: those that can be counted, and models"
    )
    windowing: TeamWindowing = TeamWindowing()

    @property
    def budgets(self) -> tuple[BudgetSettings, ...]:
        """The budgets, be it one, several or none."""
        if self.budget is None:
            return ()
        return self.budget if isinstance(self.budget, tuple) else (self.budget,)

    @property
    def unlimited(self) -> bool:
        """Whether the team has no limit of any kind."""
        return self.budget is None and not self.limits.any


class KeyPolicy(Section):
    """What holds for a key, wherever it was made."""

    name: str = Field("", max_length=100, description="shown instead of the key; by default the key's first characters")
    models: tuple[ModelName, ...] = Field((), description="models that it may ask for; empty: all of the team's")
    expires: datetime | None = Field(None, description="from then on it is refused")

    @model_validator(mode="after")
    def _in_a_zone(self) -> Self:
        if self.expires is not None and self.expires.tzinfo is None:
            raise ValueError("expected a time with its zone, such as 2027-01-31T12:00:00Z")
        return self


class KeySettings(KeyPolicy):
    """A key declared in the configuration."""

    key: SecretStr


def _key_form(value: object) -> object:
    return {"key": value} if isinstance(value, str) else value


class TeamSettings(TeamPolicy):
    """A team declared in the configuration, with the keys that its callers send."""

    keys: tuple[Annotated[KeySettings, BeforeValidator(_key_form)], ...] = ()

    @model_validator(mode="after")
    def _keys_are_long(self) -> Self:
        if any(len(key.key.get_secret_value()) < 8 for key in self.keys):
            raise ValueError("expected keys of 8 characters or more")
        return self
