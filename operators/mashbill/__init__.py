"""mashbill: from raw text to a trained language model, with the mixture of domains found on small models
first."""

__version__ = "0.1.0"
