"""What ranking documents amounts to: tokens, and the search units that Cohere bills by.

A search unit is a query with up to 100 documents. A document that is longer than 500 tokens together with the
query is read in pieces, and each piece counts as a document. The query is cut to half of that.
"""

from collections.abc import Iterable
from typing import Final

PIECE_TOKENS: Final = 500
QUERY_TOKENS_MAX: Final = 250
PIECES_A_UNIT: Final = 100
PAIR_TOKENS: Final = 128
"""The most that a model adds to each pair of query and document: separators, or a template of its own."""


def ranking_bound(documents: int, document_tokens: int, query_tokens: int) -> dict[str, int]:
    """The most that so many documents can amount to, which have so many tokens together.

    Some read the query once with each piece of a document.
    """
    pieces = max(1, documents) + document_tokens // _room(query_tokens)
    tokens = document_tokens + pieces * (query_tokens + PAIR_TOKENS)
    return {"search_units": _units(pieces), "input_tokens": tokens}


def ranking_estimate(document_tokens: Iterable[int], query_tokens: int) -> dict[str, int]:
    """What documents of so many tokens each most likely amount to; never more than `ranking_bound`."""
    room = _room(query_tokens)
    documents = pieces = total = 0
    for tokens in document_tokens:
        documents += 1
        pieces += max(1, -(-tokens // room))
        total += tokens
    return {"search_units": _units(pieces), "input_tokens": max(1, total + documents * query_tokens)}


def _room(query_tokens: int) -> int:
    """How many tokens of a document are read at once beside the query."""
    return PIECE_TOKENS - min(query_tokens, QUERY_TOKENS_MAX)


def _units(pieces: int) -> int:
    return max(1, -(-pieces // PIECES_A_UNIT))
