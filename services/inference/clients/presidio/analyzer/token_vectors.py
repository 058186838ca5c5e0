"""spaCy's tok2vec in plain numpy, with what depends on a word alone kept from one text to the next.

thinc walks some forty layers for it, which costs two milliseconds for a sentence of ten words; the arithmetic of that sentence
takes a tenth of it. The answers are the same but for the last bits; a model built otherwise does not pass the look at the start.
"""

from typing import Any

import numpy as np

_ROWS = 30_000  # words that are remembered, by the hashes of their features
_NEAR_ENOUGH = 1e-3
_PROBE = "Ms. Ada Lovelace was seen at St. Mary's Hospital in Paddington on 3 May for a Kepplerish complaint."


class TokenVectors:
    """One row a token of a `Doc`. Raises ValueError for a model that is built in another way."""

    def __init__(self, nlp: Any, tok2vec: Any) -> None:
        inner, _, linear = tok2vec.layers
        embed, encode = inner.layers
        features, mix, _ = embed.layers
        hashed, static = features.layers
        columns, _, tables = hashed.layers
        self._columns = [*columns.attrs["columns"], "ORTH"]
        self._tables = [
            (table.layers[1].ops.hash, table.layers[1].attrs["seed"], table.layers[1].get_param("E"))
            for table in tables.layers[0].layers
        ]
        self._mix = _Maxout(mix.layers[0])
        self._vectors = nlp.vocab.vectors
        self._static_weights = static.get_param("W").T
        self._convolutions = [_Maxout(residual.layers[0].layers[1]) for residual in encode.layers[0].layers]
        self._linear = linear.get_param("W").T, linear.get_param("b")
        self._width = self._convolutions[0].width
        self._places: dict[bytes, int] = {}
        self._table = np.zeros((_ROWS, self._width), dtype=np.float32)
        probe = nlp.make_doc(_PROBE)
        if np.abs(self(probe) - tok2vec.predict([probe])).max() > _NEAR_ENOUGH:
            raise ValueError("the model is not built as expected")

    def __call__(self, doc: Any) -> np.ndarray:
        around = len(self._convolutions)  # rows of nothing: as far as the layers look
        rows = np.zeros((around + len(doc) + around, self._width), dtype=np.float32)
        rows[around:-around] = self._embedded(doc.to_array(self._columns))
        for convolution in self._convolutions:
            # Two rows fewer each time: what becomes of the outermost ones no token sees.
            rows = rows[1:-1] + convolution(np.concatenate((rows[:-2], rows[1:-1], rows[2:]), axis=1))
        weights, bias = self._linear
        return rows @ weights + bias

    def _embedded(self, features: np.ndarray) -> np.ndarray:
        keys = features.view(f"V{features.itemsize * features.shape[1]}").ravel().tolist()
        fresh = {key: index for index, key in enumerate(keys) if key not in self._places}
        if len(self._places) + len(fresh) > _ROWS:
            self._places.clear()
            if len(set(keys)) > _ROWS:
                return self._computed(features)
            fresh = {key: index for index, key in enumerate(keys)}
        if fresh:
            first = len(self._places)
            self._table[first : first + len(fresh)] = self._computed(features[list(fresh.values())])
            self._places.update(zip(fresh, range(first, first + len(fresh)), strict=True))
        return self._table[[self._places[key] for key in keys]]

    def _computed(self, features: np.ndarray) -> np.ndarray:
        hashed = [
            table[hash_of(np.ascontiguousarray(column), seed) % len(table)].sum(axis=1)
            for (hash_of, seed, table), column in zip(self._tables, features.T, strict=False)
        ]
        found = self._vectors.find(keys=features[:, -1].tolist())
        static = self._vectors.data[found] @ self._static_weights
        static[found < 0] = 0
        return self._mix(np.concatenate([*hashed, static], axis=1))


class _Maxout:
    """Maxout and layer norm."""

    def __init__(self, layers: Any) -> None:
        maxout, norm = layers.layers[0].layers
        weights, bias = maxout.get_param("W"), maxout.get_param("b")
        self.width, self._pieces, inputs = weights.shape
        # Piece by piece, so that each one is a run of columns.
        self._weights = np.ascontiguousarray(weights.transpose(2, 1, 0).reshape(inputs, -1))
        self._bias = bias.T.reshape(-1)
        self._gain, self._shift = norm.get_param("G"), norm.get_param("b")

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        width = self.width
        pieces = rows @ self._weights
        pieces += self._bias
        best = pieces[:, :width]
        for piece in range(1, self._pieces):
            np.maximum(best, pieces[:, piece * width : (piece + 1) * width], out=best)
        best = best - best.mean(axis=1, keepdims=True)
        best *= (np.einsum("ij,ij->i", best, best) / width + 1e-8)[:, None] ** -0.5
        best *= self._gain
        best += self._shift
        return best
