"""MLServer's own way to a model that it has no runtime for: a custom one, over ONNX Runtime.

As its documentation writes one: tensors in, one session, a tensor out, whatever the number of rows.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        uri = await get_model_uri(self._settings)
        self._session = onnxruntime.InferenceSession(uri, options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        (found,) = self._session.run(["probability"], {"x": rows})
        output = NumpyCodec.encode_output("probability", found)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
