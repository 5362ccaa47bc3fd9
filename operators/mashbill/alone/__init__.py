"""Stages alone: on plain arguments and others' files, with no config file and no artifact of a pipeline."""

from mashbill.alone.arguments import Argument, Arguments, arguments_of
from mashbill.alone.row import Input, Row
from mashbill.alone.table import ALONE
from mashbill.alone.work import AloneWork

__all__ = ["ALONE", "AloneWork", "Argument", "Arguments", "Input", "Row", "arguments_of"]
