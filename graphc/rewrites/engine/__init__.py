"""The engine of rewriting, without any rules.

    rule         what a rule is, and how one is written
    matching     when an expression is an instance of a pattern
    selection    which rules to try on a node
    table        the rules of one phase
    context      what a rule may ask
    driver       from a graph to its normal form
"""
