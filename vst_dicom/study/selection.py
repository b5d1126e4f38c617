"""What happens to a slide that is whole: rules first, then the stain that its header states."""

from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from vst_dicom.dicom.specimen import HE, stated_stain
from vst_dicom.study.rules import Action, Priority, Rules, Sender


@dataclass(frozen=True, slots=True)
class Selection:
    """What happens to a slide, and why.

    Parameters
    ----------
    action
        Process, hold or ignore it.
    reason
        Names the rule or the stain; never a value that may belong to a patient.
    bundle, genes, destinations
        What the rule says; None for the defaults.
    priority
        How soon.
    """

    action: Action
    reason: str
    bundle: str | None = None
    genes: tuple[str, ...] | None = None
    destinations: tuple[str, ...] | None = None
    priority: Priority = Priority.ROUTINE


def select(rules: Rules, header: Dataset, sender: Sender, *, asked: bool = False) -> Selection:
    """Decide what happens to a slide.

    The stain gate looks only at what would be processed: a rule may ignore other stains before. A slide whose header
    states no stain passes; its color is checked when it is processed.

    Parameters
    ----------
    rules
        The first that matches decides; without a match the slide is processed with the defaults.
    header
        Of the base level.
    sender
        Who sent it.
    asked
        Whether a person asked to process this slide: then no rule holds or ignores it. The stain still does.
    """
    rule = rules.find(header, sender)
    if rule is None:
        chosen = Selection(Action.PROCESS, "no rule matches: the defaults hold")
    else:
        chosen = Selection(rule.then, f"rule {rule.name!r}", rule.bundle, rule.genes, rule.destinations, rule.priority)
    if asked and chosen.action is not Action.PROCESS:
        reason = f"a person asked for it, although {chosen.reason} would {chosen.action} it"
        chosen = replace(chosen, action=Action.PROCESS, reason=reason)
    stain = stated_stain(header)
    if chosen.action is Action.PROCESS and stain not in (None, HE):
        reason = f"the header states the stain {stain}; only hematoxylin and eosin is read ({chosen.reason})"
        return replace(chosen, action=Action.HOLD, reason=reason)
    return chosen
