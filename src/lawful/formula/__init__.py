"""Formulas as texts: read by a grammar of their own (parse), brought into a form that is well fitted (normal),
evaluated with exact first and second derivatives (derivatives). `laws/formula.py` makes a law of them."""
