"""Filling the templates in ``firmware_templates/``."""

from __future__ import annotations

import math
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from export.templates import c_numbers, escape
from mcofa.files.resources import data_folder


def render_template(template: str, **values: object) -> bytes:
    """Fill ``template``, a path under ``firmware_templates/``, with ``values``.

    Raises:
        jinja2.UndefinedError: the template names a value that was not given.
    """
    return environment().get_template(template).render(values).encode()


@cache
def environment() -> Environment:
    """Return the templates and the filters that they may use."""
    templates = Environment(
        loader=FileSystemLoader(data_folder("firmware_templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(
        c_float=c_numbers.c_float,
        c_bytes=c_numbers.c_byte_lines,
        c_numbers=c_numbers.c_number_lines,
        c_string=escape.c_string,
        command_line=escape.command_line,
        comment=escape.comment,
        make_value=escape.make_value,
        markdown=escape.markdown,
        memory_symbol=escape.memory_symbol,
        product=math.prod,
        recipe_command=escape.recipe_command,
        recipe_word=escape.recipe_word,
    )
    return templates
