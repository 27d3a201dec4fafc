"""Inner-product search over unit vectors; the only user of faiss."""

import faiss
import numpy as np
import numpy.typing as npt

from retrieval.types import Floats

Ids = npt.NDArray[np.int64]


def search(vectors: Floats, query: Floats, k: int) -> tuple[Floats, Ids]:
    """Return the k best rows of vectors[n, d] for query[d]: inner products (best first) and row numbers.

    The search is exact (IndexFlatIP): a request has a few thousand chunks at most, where an approximate index costs
    more to build than it saves.
    """
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    scores, ids = index.search(np.ascontiguousarray(query[None], dtype=np.float32), min(k, len(vectors)))
    return scores[0], ids[0]
