"""Random command lines about tables: training on them, predictions and their cost."""

from functools import partial

from fuzz import command_lines
from fuzz.harness import Fuzz
from helpers.random_lines import table_line_of

FUZZ = Fuzz("tables", 300, partial(command_lines.case, line_of=table_line_of))
