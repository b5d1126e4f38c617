"""Routes of rules: which are in force, and what others would do."""

from typing import Any, Final, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from vst_dicom.ledger.states import SlideState
from vst_dicom.runtime.considering import check_destinations, read_site_rules
from vst_dicom.runtime.dry_run import DryRun, dry_run
from vst_dicom.service.addresses import API
from vst_dicom.service.holdings import Ledger, ServerSettings
from vst_dicom.study.rules import Action, Condition, Rule, parse_rules

router: Final = APIRouter(prefix=f"{API}/rules", tags=["Rules"])

_MOST_CHARACTERS: Final = 1 << 20


class RuleRead(BaseModel):
    """One rule; the first whose conditions all hold decides."""

    name: str
    then: Action
    when: dict[str, dict[str, Any]] = Field(description="Conditions by attribute, as the file of rules writes them")
    bundle: str | None = Field(description="null for that of the settings")
    genes: list[str] | None = Field(description="null for all that evidence supports")
    destinations: list[str] | None = Field(description="null for all")
    priority: str

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """Show a rule."""
        return cls(
            name=rule.name,
            then=rule.then,
            when={path: _spell(condition) for path, condition in rule.when.items()},
            bundle=rule.bundle,
            genes=None if rule.genes is None else list(rule.genes),
            destinations=None if rule.destinations is None else list(rule.destinations),
            priority=rule.priority.name.lower(),
        )


class RulesRead(BaseModel):
    """Rules in force."""

    rules: list[RuleRead]


class TryRules(BaseModel):
    """Which rules to try, and on how many slides."""

    model_config = ConfigDict(extra="forbid")

    rules: str | None = Field(
        default=None, max_length=_MOST_CHARACTERS, description="As a file of rules, TOML; those in force if null"
    )
    slides: int = Field(default=100, ge=1, le=1000, description="How many slides at most, the latest")


class TriedSlide(BaseModel):
    """Where a slide stands, and where the rules would put it."""

    slide_id: int
    study_instance_uid: str
    state: SlideState
    would_be: SlideState
    changes: bool
    reason: str
    rule_bundle: str | None
    destinations: list[str] | None
    priority: str | None

    @classmethod
    def of(cls, tried: DryRun) -> Self:
        """Show what would happen to a slide."""
        chosen = tried.found.selection
        return cls(
            slide_id=tried.slide.id,
            study_instance_uid=tried.slide.study_instance_uid,
            state=tried.slide.state,
            would_be=tried.found.state,
            changes=tried.changes,
            reason=tried.found.reason,
            rule_bundle=None if chosen is None else chosen.bundle,
            destinations=None if chosen is None or chosen.destinations is None else list(chosen.destinations),
            priority=None if chosen is None else chosen.priority.name.lower(),
        )


class Tried(BaseModel):
    """What rules would do with slides that came before."""

    n_rules: int
    n_changed: int
    slides: list[TriedSlide]


@router.get("")
def read_rules(settings: ServerSettings) -> RulesRead:
    """Show the rules in force, in their order; without any, every H&E slide is processed."""
    return RulesRead(rules=[RuleRead.of(rule) for rule in read_site_rules(settings).rule])


@router.post("/dry-run")
def try_rules(wanted: TryRules, settings: ServerSettings, database: Ledger) -> Tried:
    """Say what rules would do with the slides that came last; nothing is changed."""
    if wanted.rules is None:
        rules = read_site_rules(settings)
    else:
        rules = parse_rules(wanted.rules, "these rules")
        check_destinations(rules, settings, "these rules")
    found = [TriedSlide.of(tried) for tried in dry_run(database, settings, rules, wanted.slides)]
    return Tried(n_rules=len(rules.rule), n_changed=sum(one.changes for one in found), slides=found)


def _spell(condition: Condition) -> dict[str, Any]:
    """Write a condition as the file does."""
    if condition.regex is not None:
        return {"regex": condition.regex.text}
    if condition.any_of is not None:
        return {"in": list(condition.any_of)}
    return {"missing": condition.missing} if condition.missing is not None else {"equals": condition.equals}
