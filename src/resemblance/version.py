"""The version of this library; apart, so that what notes it need not import the public names."""

__version__ = "0.1.0"
