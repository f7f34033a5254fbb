"""tftutor: the Transformer, one readable and tested module per idea.

Letters used for shapes everywhere in the package:

====  ==========================================
B     batch: sequences side by side
T     query positions
S     key positions
D     d_model: width of the residual stream
H     query heads
G     key/value heads
Dh    d_head: width of one head
F     d_ff: hidden width of the feed-forward layer
V     vocabulary size
N     size of a recurrent state
K     beams
====  ==========================================

Masks are bool, True = this query may look at this key, with four axes (B, H, T, S).
`valid` is bool (B, T), True = a real token, False = padding.
"""

__version__ = "0.1.0"
