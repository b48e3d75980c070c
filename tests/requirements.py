"""What Oncegate must do: requirement id, text, source. `tests/test_requirements.py` holds it both ways.

One tuple of `Requirement` per area file `tests/requirements_<area>.py` would split what a reader wants
to see whole; areas are sections here.
"""
