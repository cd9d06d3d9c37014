"""A promise in plain words, for a terminal and a notebook. Pure."""

from __future__ import annotations

import math

from producer.trust.promises.trusted import Trusted


def in_words(trusted: Trusted) -> list[tuple[str, str]]:
    """What was judged, and what that promises: sentences, each under a word; those under none go on."""
    return [("judged", _judged(trusted)), *_promised(trusted), *_next(trusted)]


def share(value: float) -> str:
    """A share in percent, never more than it is: 0.8999 is 89.9%."""
    return f"{math.floor(value * 1000 + 1e-9) / 10:g}%"


def _judged(trusted: Trusted) -> str:
    wrong = f"{trusted.labels:,} answers, {trusted.wrong:,} of them wrong"
    if trusted.by == "references":
        return f"{wrong}: by exact match with the reference answers, so more may be right"
    skipped = f", {trusted.skipped:,} of these skipped" if trusted.skipped else ""
    picked = f"; and {trusted.picked:,} picked by hand, which promise nothing" if trusted.picked else ""
    return f"{wrong}{skipped}{picked}"


def _promised(trusted: Trusted) -> list[tuple[str, str]]:
    if trusted.threshold is not None and trusted.share is not None:
        sure = f"{share(trusted.precision)} or more are right ({share(trusted.confidence)} confidence)"
        sides = f"{trusted.trusted:,} answers, {share(trusted.share)} of the rows; {trusted.rest:,} rows to review"
        return [("promise", f"of the answers with a score of at least {trusted.threshold:g}, {sure}"), ("", sides)]
    none = [("promise", f"none: not enough to promise {share(trusted.precision)}")]
    if best := trusted.best:
        above = f"for scores of at least {best.threshold:g}, {share(best.share)} of the rows"
        none.append(("", f"they promise {share(best.lower_bound)} {above}"))
    elif trusted.next_look is None:
        none.append(("", "a promise needs at least sixty judged answers above a threshold"))
    if trusted.more:
        none.append(("", f"about {trusted.more:,} more are needed, if the same share of them is right"))
    return none


def _next(trusted: Trusted) -> list[tuple[str, str]]:
    """When verdicts count that may be looked at at any time."""
    if trusted.next_look is None or trusted.by == "references":
        return []
    counted, more = trusted.looks[-1].labels if trusted.looks else 0, trusted.next_look - trusted.labels
    so_far = f"until then the first {counted:,} count" if counted else "none counts until then"
    return [("next look", f"at {trusted.next_look:,} judged answers, {more:,} more; {so_far}, however often you ask")]
