"""Write a model as one ONNX graph that answers with its reasons, and what is needed to explain without this library."""
