"""Which check kills it: ask of each figure whether its two sides run the edited line, one of them, or none."""

ANSWERS = {
    "a": "kernel rule second",          # loops, float32 and float64 alike: not single, which compares these two
    "b": "rule second",                 # the rule: kernel and single do not run it
    "c": "single",                      # float32: the others are computed in float64
    "d": "second",                      # the rule's numbers stay, its graph does not
    "e": "kinks",                       # changes x = 0 only, which the inputs avoid
    "f": "unread",                      # keeps a where nothing is made of it; all gradients stay
    "g": "kernel rule single second",   # float64: a side of every figure
    "h": "nothing",                     # what is computed for nobody is dropped
}
