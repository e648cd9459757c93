"""What is said beside a cell of docs/statistics.md: what limits it. Limits are those of coverage_limits.py; what was
measured on other tables says on how many."""

NOTES = {
    "line 8x3, noise shrinks with size: L at 10 x N": (
        "how the noise changes with size hardly matters here. With its slope known the interval was 1.30 in place of "
        "1.33 times as wide (60 tables, seed 101; each other law a quarter as likely as the fitted one, as before "
        "this cell was counted). The fitted law's own interval, which takes its form for granted, is 1.0 times as "
        "wide. The part of other laws was chosen on these tables; on 400 fresh ones (seed 7): 0.950 ± 0.011, 1.32 "
        "times as wide."
    ),
    "power without floor, no law named, 8x2: L at 10 x N": (
        "these sizes hardly tell whether there is a floor, and with one to seek even a fit that knows the noise is "
        "3.48 times as wide. The bound of Pratt (1961): an interval that holds the truth in 95 % of tables for every "
        "floor has at least 2.01 times the half-width on average where there is no floor, whatever the method. The "
        "goal of 2 is below that. Since this cell was counted, the fitted law's own interval ends no lower than that "
        "of the law without floor: about 3.1 times as wide on 110 of its tables, .945 ± .022 of them covered."
    ),
    "shifted, no law named, 8x2: L at 10 x N": (
        "the interval is as narrow as that of a fit of the planted law (1.02 times), from other laws of about the same "
        "shape. With the planted law among them it held the truth in .85 of 40 tables, too."
    ),
    "compare, identical arms, 8x2": (
        "on 1,000 fresh tables (seed 7) .054 ± .007: within its error of 5 %. Not tuned on the tables of this page."
    ),
    "compare, identical arms, 8x2, 2 % outliers": (
        "on 1,000 fresh tables (seed 7) .047 ± .007: within its error of 5 %. The same draws as the cell without "
        "outliers."
    ),
    "compare, exponents .006 apart, 8x3": (
        "the goal is nine tenths of a test that knows the noise. A test that knows both planted alternatives of this "
        "table with their sizes, and that the noise is the same everywhere, but not how large it is, finds at best "
        ".88 of this one and .60 of the other at once (or .86 and .61): both goals lie within .02 of that. Ours knows "
        "no alternative and lets the noise change with size, which costs .018 and .003 where it does not, and saves "
        "half of the power where it does."
    ),
    "compare, a gain of 1.02 in size, 8x3": "as for exponents .006 apart.",
    "an undertrained top rung (+2 %), 8x2": (
        "a rung is named at a level of 1 %. At that level a t test which knows the law's slopes, and tests nothing but "
        "the top rung, finds .899 of these: the goal is the limit. At 2 % it would find .950; then a rung "
        "would be called off in .030 ± .010 of tables of the right law (300 tables, other seeds), in place of "
        ".020 ± .008. Since this cell was counted, a rung is also named beside another law that explains it about as "
        "well: 61 in place of 58 of 80 other tables."
    ),
}
