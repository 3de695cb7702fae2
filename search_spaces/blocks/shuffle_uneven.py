"""`shuffle_unit` as its authors' code has it: where it does not split, the left branch gives as many channels as come in.

At most half of the output, which is what the paper's figure shows: the two differ where the width more than doubles, as in
the first unit of ShuffleNetV2 1.0x (24 to 116 channels), whose published 146 M multiply-accumulates are those of the code
(145.8 M; 144.9 M with even branches). For spaces of one width a stage: of a wider input the right branch is no crop.
"""

from search_spaces.blocks.shuffle_unit import HIDDEN_AXES, RIGHT, as_in_input, unit

PLUGIN = unit(as_in_input, RIGHT, HIDDEN_AXES)
