"""A run that is a command: any trainer's command line, with what is read of its output."""

from __future__ import annotations

from lawful.command.declare import Command as Command
from lawful.command.reads import JSONLines as JSONLines
from lawful.command.reads import LogPattern as LogPattern
from lawful.command.reads import TableFile as TableFile
from lawful.command.record import CommandRun as CommandRun
