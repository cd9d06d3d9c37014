"""What a remedy says on each surface, and that nothing of it is lost on the way there."""

from __future__ import annotations

import pytest

from contract.remedy import Call, Remedy, Set

REMEDY = Remedy("Read it with: ", Set(delimiter="\t", header=False), ". Or ", Call("delete", "a-job", ("cancel",)), ".")


class Keywords:
    separator = ", "

    def option(self, name: str, value: object) -> str:
        return name if value is None else f"{name}={value!r}"

    def call(self, call: Call) -> str:
        return f"Job({call.job!r}).{call.verb}()"


def test_as_text_it_is_what_one_types_in_a_terminal() -> None:
    assert REMEDY == r"Read it with: --delimiter '\t' --no-header. Or producer delete a-job --cancel."
    assert Remedy("Name another ", Set("format"), ".") == "Name another --input-format."


def test_a_surface_says_it_in_its_own_words() -> None:
    assert REMEDY.render(Keywords()) == r"Read it with: delimiter='\t', header=False. Or Job('a-job').delete()."


def test_a_page_is_told_what_to_fill_in() -> None:
    assert REMEDY.settings == {"delimiter": "\t", "header": False}
    assert Remedy("Name an ", Set("encoding"), ".").settings == {}


def test_it_travels_as_json() -> None:
    back = Remedy.from_json(REMEDY.to_json())
    assert back.parts == REMEDY.parts


def test_two_make_one() -> None:
    both = REMEDY.and_("Or ask.")
    assert both.parts[: len(REMEDY.parts)] == REMEDY.parts
    assert both.endswith(" Or ask.")


@pytest.mark.parametrize("part", [None, 3, {"set": 1}, {"call": "x"}, ["text"]])
def test_what_is_no_part_is_refused(part: object) -> None:
    with pytest.raises(ValueError, match="not a part of a remedy"):
        Remedy.from_json([part])
