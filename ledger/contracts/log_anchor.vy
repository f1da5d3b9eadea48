# pragma version 0.4.3
# pragma evm-version london
# pragma optimize gas

"""
@title LogAnchor
@license Apache-2.0
@notice Keeps the last head of one transparency log (docs/spec/anchor.md). A head is a size and a root; sizes only
        grow, and every head enters a running hash chain, so that no head can be replaced, removed or reordered.
@dev    Nobody owns this contract: no upgrade, no pause, no reset, no ether. The anchorer may hand its right over in two
        steps, which changes no rule. All state is in ordinary storage, so that the runtime code is one constant, pinned
        by verifiers. The order of the five variables below is part of the proof format: slots 0 to 4.
"""

event Anchored:
    size: indexed(uint256)
    root: indexed(bytes32)
    chain_value: indexed(bytes32)
    previous: bytes32

event AnchorerProposed:
    anchorer: indexed(address)
    proposed: indexed(address)

event AnchorerChanged:
    previous: indexed(address)
    anchorer: indexed(address)

# The largest size a log can have (docs/spec/log.md, "Limits").
MAX_SIZE: constant(uint256) = 2**53 - 1

size: uint256  # slot 1: size of the last head, 0 before the first
root: bytes32  # slot 2: root of the last head
chain_value: bytes32  # slot 3: running chain over all heads
origin_hash: public(bytes32)  # slot 4: which log
anchorer: public(address)  # slot 5: who may anchor
proposed: public(address)  # slot 6: who may take over


@deploy
def __init__(origin_hash: bytes32, anchorer: address):
    assert origin_hash != empty(bytes32), "no origin"
    assert anchorer != empty(address), "no anchorer"
    self.origin_hash = origin_hash
    self.anchorer = anchorer
    self.chain_value = keccak256(origin_hash)
    log AnchorerChanged(previous=empty(address), anchorer=anchorer)


@external
def anchor(size: uint256, root: bytes32, expected_value: bytes32):
    """
    @notice Make (size, root) the last head.
    @param expected_value The running chain this head is meant to follow: a transaction that was signed before a
           reorganisation, or raced with another, changes nothing.
    """
    assert msg.sender == self.anchorer, "not the anchorer"
    previous: bytes32 = self.chain_value
    assert expected_value == previous, "another head came first"
    assert size > self.size, "size does not grow"
    assert size <= MAX_SIZE, "size too large"
    assert root != empty(bytes32), "no root"
    chain_value: bytes32 = keccak256(concat(previous, convert(size, bytes32), root))
    self.size = size
    self.root = root
    self.chain_value = chain_value
    log Anchored(size=size, root=root, chain_value=chain_value, previous=previous)


@external
def propose_anchorer(proposed: address):
    """
    @notice Offer the anchorer's right to another key; the zero address withdraws an offer.
    """
    assert msg.sender == self.anchorer, "not the anchorer"
    self.proposed = proposed
    log AnchorerProposed(anchorer=msg.sender, proposed=proposed)


@external
def accept_anchorer():
    """
    @notice Take the offered right: proves that the new key is alive before the old one ends.
    """
    assert msg.sender == self.proposed, "not the proposed anchorer"
    previous: address = self.anchorer
    self.anchorer = msg.sender
    self.proposed = empty(address)
    log AnchorerChanged(previous=previous, anchorer=msg.sender)


@external
@view
def head() -> (uint256, bytes32, bytes32):
    """
    @notice Return size, root and running chain of one moment.
    """
    return self.size, self.root, self.chain_value
