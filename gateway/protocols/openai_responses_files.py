"""The pictures that stand whole in the events of a streamed response, each named by the item it is of.

One that is drawn is shown half drawn, then whole in its item, and once more in the response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway.call import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    Place = tuple[str | int, ...]

_HALF_DRAWN: Final = "response.image_generation_call.partial_image"


def files_of(kind: str, tree: dict[str, object]) -> tuple[Slot, ...]:
    """Return the pictures of an event of type `kind`."""
    if kind == _HALF_DRAWN:
        is_text = isinstance(tree.get("partial_image_b64"), str)
        return (Slot(("drawn", tree.get("output_index")), ("partial_image_b64",), "image"),) if is_text else ()
    found = list(_pictures(tree.get("item"), tree.get("output_index"), ("item",)))
    response = tree.get("response")
    output = cast("dict[str, object]", response).get("output") if isinstance(response, dict) else None
    for place, item in enumerate(cast("list[object]", output) if isinstance(output, list) else ()):
        found += _pictures(item, place, ("response", "output", place))
    return tuple(found)


def _pictures(item: object, output: object, path: Place) -> Iterator[Slot]:
    """Yield what the image generation of an item has drawn, or the plots of its code."""
    if not isinstance(item, dict):
        return
    fields = cast("dict[str, object]", item)
    if fields.get("type") == "image_generation_call" and isinstance(fields.get("result"), str):
        yield Slot(("drawn", output), (*path, "result"), "image")
    plots = fields.get("outputs") if fields.get("type") == "code_interpreter_call" else None
    for place, plot in enumerate(cast("list[object]", plots) if isinstance(plots, list) else ()):
        url = cast("dict[str, object]", plot).get("url") if isinstance(plot, dict) else None
        if isinstance(url, str) and url.startswith("data:image/"):
            yield Slot(("plot", output, place), (*path, "outputs", place, "url"), "image")
