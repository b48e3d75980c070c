"""Given names that are words besides: where they begin a whole name, both finders like to see something else."""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
    angelica basil bill bishop blaise bob bonnie brandy brooke buck buddy candy carter celeste chance charity chase
    constance cooper coral curt daisy dale dawn dean destiny dolly dora drake drew dusty earl ember ernest eve faith
    fawn felicity fern flora frank gale gene ginger glen grace grant hank harmony harry hazel heath heather holly honor
    hope hunter iris jack jasmine jay jim jimmy john joy jude kat kay kit kitty lance laurel lily lou marigold mark
    matt maverick melody mickey miles minnie misty nat octavia olive pansy parker pat patience patty pearl peg penny
    piper poppy prudence ray reed rex ricky robin rob rocky rod romeo rose rosemary rowan roy ruby rusty sage sandy
    scarlet serenity shepherd shirley sonny sterling sue sunny tad taylor temperance tim trey verity viola violet wade
    warren will woody wren
"""
#: Of English; what begins places, brands and things as often (`April`, `Red`, `Star`) stays out.
GIVEN: Final = frozenset(_NAMES.split())
