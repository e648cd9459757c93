"""The formulas that `lawful discover` tries: sums and products of powers, floors, couplings, breaks, interactions.

A form is a sum of blocks, with or without a floor. A block is a product: a coefficient, powers of some inputs, then
what is added to them,

    interaction   exp(g log(x/x0) log(y/y0)): the exponent of x changes along y; x0 and y0 are round numbers in the data
    break         bend(x, at, width)^-change: the exponent of x grows by `change` beyond `at`
    coupling      (x^-a + q y^-b)^k, or without k where a power of a third input multiplies the sum

`grown` gives all forms that are one step larger. Two forms are equal only where they are the same object.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from lawful.laws.formula import Formula

COEFFICIENTS = ("A", "B", "F", "G", "H", "K", "P", "Q", "S", "T")
EXPONENTS = ("alpha", "beta", "gamma", "delta", "eta", "theta", "kappa", "mu", "nu", "rho")
OTHERS = {"floor": ("E", "L0", "floor"), "k": ("k",), "g": ("g",), "at": ("at",), "width": ("width",)}
CHANGE = ("change",)
INTERACTION = (-1.0, 1.0)  # of g: of two inputs over three decades each, 1 is a factor of e^12 at the corners
CHANGES = (-5.0, 5.0)  # of an exponent at a break; published ones reach 5.66 where the break is a phase change
WIDTHS = (0.05, 5.0)  # of a break in e-folds, as in the law broken_power

Pair = tuple[int, int]


@dataclass(frozen=True, order=True)
class Block:
    """A product. Tuples are sorted, so that equal blocks are the same. Inputs go by their numbers.

    powers         inputs, each with an exponent of its own
    interactions   pairs of them
    breaks         those of them whose exponent changes
    coupled        blocks of a sum that is one more factor
    has_exponent   that sum has an exponent k
    """

    powers: tuple[int, ...] = ()
    interactions: tuple[Pair, ...] = ()
    breaks: tuple[int, ...] = ()
    coupled: tuple[Block, ...] = ()
    has_exponent: bool = False

    @property
    def inputs(self) -> frozenset[int]:
        return frozenset(self.powers).union(*(block.inputs for block in self.coupled))

    @property
    def parameters(self) -> int:
        """The coefficient, too; the first block of a coupled sum has none."""
        inside = sum(block.parameters for block in self.coupled) - bool(self.coupled)
        return 1 + len(self.powers) + len(self.interactions) + 3 * len(self.breaks) + self.has_exponent + inside


@dataclass(frozen=True)
class Form:
    blocks: tuple[Block, ...]
    has_floor: bool = False

    @property
    def parameters(self) -> int:
        return self.has_floor + sum(block.parameters for block in self.blocks)


def simplest(inputs: range) -> list[Form]:
    """Where the search begins: a power of each input alone, their product, their sum."""
    alone = [Block((one,)) for one in inputs]
    forms = [Form((block,)) for block in alone]
    return [*forms, Form((Block(tuple(inputs)),)), Form(tuple(alone))] if len(inputs) > 1 else forms


def grown(form: Form, inputs: Collection[int]) -> Iterator[Form]:
    """The forms that are one step larger."""
    if not form.has_floor:
        yield replace(form, has_floor=True)
    for blocks in _grown_sum(form.blocks, inputs):
        yield replace(form, blocks=blocks)
    for count in (2, 3):
        for chosen in itertools.combinations(form.blocks, count):
            others = [block for block in form.blocks if block not in chosen]
            for block in _joined(chosen, inputs):
                yield replace(form, blocks=_in_order([*others, block]))
    for block in form.blocks:
        if not block.coupled:  # a factor of a power and its floor
            others = [other for other in form.blocks if other != block]
            for name in set(inputs) - block.inputs:
                joined = Block((name,), coupled=_in_order([Block(), block]))
                yield replace(form, blocks=_in_order([*others, joined]))


def shrunk(form: Form) -> Iterator[Form]:
    """The forms with one part less: what the search took on the way to a form may not be needed in it."""
    if form.has_floor:
        yield replace(form, has_floor=False)
    for blocks in _shrunk_sum(form.blocks):
        yield replace(form, blocks=blocks)


def _shrunk_sum(blocks: tuple[Block, ...]) -> Iterator[tuple[Block, ...]]:
    for number, block in enumerate(blocks):
        others = [*blocks[:number], *blocks[number + 1 :]]
        if others:
            yield _in_order(others)
        for smaller in _shrunk_block(block):
            if smaller not in others:
                yield _in_order([*others, smaller])


def _shrunk_block(block: Block) -> Iterator[Block]:
    if len(block.powers) + len(block.coupled) > 1:
        for name in block.powers:
            rest = tuple(own for own in block.powers if own != name)
            pairs = tuple(pair for pair in block.interactions if name not in pair)
            breaks = tuple(own for own in block.breaks if own != name)
            if rest or block.has_exponent:
                yield replace(block, powers=rest, interactions=pairs, breaks=breaks)
    for pair in block.interactions:
        yield replace(block, interactions=tuple(own for own in block.interactions if own != pair))
    for name in block.breaks:
        yield replace(block, breaks=tuple(own for own in block.breaks if own != name))
    if block.has_exponent and block.powers:
        yield replace(block, has_exponent=False)
    for coupled in _shrunk_sum(block.coupled):
        if len(coupled) > 1 and not (block.has_exponent and Block() in coupled):
            yield replace(block, coupled=coupled)


def _grown_sum(blocks: tuple[Block, ...], inputs: Collection[int]) -> Iterator[tuple[Block, ...]]:
    for name in inputs:
        if (new := Block((name,))) not in blocks:
            yield _in_order([*blocks, new])
    for number, block in enumerate(blocks):
        others = [*blocks[:number], *blocks[number + 1 :]]
        for larger in _grown_block(block, inputs):
            if larger not in others:
                yield _in_order([*others, larger])


def _grown_block(block: Block, inputs: Collection[int]) -> Iterator[Block]:
    for name in set(inputs) - block.inputs:
        yield replace(block, powers=tuple(sorted([*block.powers, name])))
    for pair in itertools.combinations(block.powers, 2):
        if pair not in block.interactions:
            yield replace(block, interactions=tuple(sorted([*block.interactions, pair])))
    if not block.breaks:
        for name in block.powers:
            yield replace(block, breaks=(name,))
    if block.coupled:
        for coupled in _grown_sum(block.coupled, set(inputs) - set(block.powers)):
            yield replace(block, coupled=coupled)
        if not block.has_exponent and Block() not in block.coupled:
            yield replace(block, has_exponent=True)


def _joined(blocks: tuple[Block, ...], inputs: Collection[int]) -> Iterator[Block]:
    """Blocks of a sum as one: their sum with an exponent, or times a power of an input that none of them has."""
    if any(block.coupled for block in blocks):
        return
    yield Block(coupled=_in_order(blocks), has_exponent=True)
    for name in set(inputs).difference(*(block.inputs for block in blocks)):
        yield Block((name,), coupled=_in_order(blocks))


def _in_order(blocks: Collection[Block]) -> tuple[Block, ...]:
    return tuple(sorted(blocks))


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes forms as formulas for one table.

    shown    how a formula names each input: N, or `experts`
    rising   inputs along which the loss rises: their powers are above 0
    pivot    of each input, a number in the middle of the data
    taken    names that no parameter may have
    """

    shown: Sequence[str]
    rising: frozenset[int]
    pivot: Sequence[float]
    taken: frozenset[str]

    def law(self, form: Form) -> Formula:
        """The form as a law, with the bounds that its text needs."""
        work = _Text(self, {}, {})
        parts = [work.name("floor", OTHERS["floor"])] if form.has_floor else []
        parts += [work.block(block, has_coefficient=True) for block in form.blocks]
        return Formula(" + ".join(parts), bounds=work.bounds)


@dataclass(frozen=True)
class _Text:
    """A formula that is being written: how many names of a kind it has, the bounds of its parameters."""

    writer: Writer
    counts: dict[str, int]
    bounds: dict[str, tuple[float, float]]

    def name(self, kind: str, names: tuple[str, ...]) -> str:
        free = [name for name in names if name not in self.writer.taken]
        free += [own for k in range(2, 100) if (own := f"{names[0]}{k}") not in self.writer.taken]
        self.counts[kind] = number = self.counts.get(kind, 0) + 1
        return free[number - 1]

    def block(self, block: Block, *, has_coefficient: bool) -> str:
        parts = [self.name("coefficient", COEFFICIENTS)] if has_coefficient else []
        shown = self.writer.shown
        for name in block.powers:
            sign = "" if name in self.writer.rising else "-"
            parts.append(f"{shown[name]}^{sign}{self.name('exponent', EXPONENTS)}")
        for pair in block.interactions:
            g = self.name("g", OTHERS["g"])
            self.bounds[g] = INTERACTION
            logs = "*".join(f"log({shown[name]}/{self.writer.pivot[name]:.2g})" for name in pair)
            parts.append(f"exp({g}*{logs})".replace("e+", "e"))
        for name in block.breaks:
            at, width = self.name("at", OTHERS["at"]), self.name("width", OTHERS["width"])
            change = self.name("change", CHANGE)
            self.bounds.update({width: WIDTHS, change: CHANGES})
            parts.append(f"bend({shown[name]}, {at}, {width})^-{change}")
        if block.coupled:
            inside = self.coupled(block.coupled)
            parts.append(f"({inside})^{self.name('k', OTHERS['k'])}" if block.has_exponent else f"({inside})")
        return "*".join(parts)

    def coupled(self, blocks: tuple[Block, ...]) -> str:
        """The first block that has powers is written without a coefficient."""
        first, *rest = sorted(blocks, key=lambda block: not block.powers)
        return " + ".join(
            [self.block(first, has_coefficient=False), *(self.block(b, has_coefficient=True) for b in rest)]
        )
