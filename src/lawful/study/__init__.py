"""A study: its declaration, its rungs and its questions, and how a study file is read."""

from lawful.schema import Question as Question
from lawful.study.declaration import Study as Study
from lawful.study.file import SCALES as SCALES
from lawful.study.file import Scale as Scale
from lawful.study.file import convert as convert
from lawful.study.file import count as count
from lawful.study.file import declare as declare
from lawful.study.file import import_file as import_file
from lawful.study.file import own_file as own_file
from lawful.study.file import own_module as own_module
from lawful.study.file import scales_of as scales_of
from lawful.study.file import settings_of as settings_of
from lawful.study.file import trusted_file as trusted_file
from lawful.study.ranges import Range as Range
from lawful.study.rungs import Coordinates as Coordinates
from lawful.study.rungs import Rung as Rung
from lawful.study.rungs import bracket as bracket
from lawful.study.rungs import brackets as brackets
from lawful.study.rungs import grid as grid
from lawful.study.rungs import largest as largest
from lawful.study.rungs import planned_run as planned_run
